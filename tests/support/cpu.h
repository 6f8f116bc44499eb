// What every test of a CPU kernel asks: the same bits for any number of threads, every instruction set of this machine,
// and no new memory or plans once warm.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/backend.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"

namespace lethe::test {

// The instruction sets that this machine can run, best first; the last is always "baseline".
std::vector<std::string> available_isas();
// A CPU backend whose own kernels use `isa`.
std::unique_ptr<Backend> cpu_backend(const std::string& isa);

// A test over all instruction sets: TEST_P(...) with INSTANTIATE_TEST_SUITE_P(Isa, Name, all_isas(), isa_name).
class IsaTest : public testing::TestWithParam<std::string> {
protected:
    IsaTest() : cpu(cpu_backend(GetParam())) {}
    ~IsaTest() override { set_threads(0); }

    // Calls run() -> std::vector<Tensor> with 1, 2 and 3 threads: the same bits each time. Returns the results.
    template <class Run>
    std::vector<Tensor> same_for_any_threads(Run&& run) {
        set_threads(1);
        std::vector<Tensor> expected = run();
        for (const int count : {2, 3}) {
            set_threads(count);
            const std::vector<Tensor> actual = run();
            for (std::size_t i = 0; i < expected.size(); ++i)
                EXPECT_TRUE(identical(actual[i], expected[i])) << "result " << i << " with " << count << " threads";
        }
        set_threads(1);
        return expected;
    }

    // The second and later calls take no memory from the system and build no plans.
    template <class Run>
    void expect_steady(Run&& run) {
        set_threads(1);
        run();
        const uint64_t allocations = CachingAllocator::cpu().stats().system_allocations, plans = plans_built();
        for (int i = 0; i < 3; ++i) run();
        EXPECT_EQ(CachingAllocator::cpu().stats().system_allocations, allocations);
        EXPECT_EQ(plans_built(), plans);
    }

    std::unique_ptr<Backend> cpu;
};

inline auto all_isas() { return testing::ValuesIn(available_isas()); }
inline std::string isa_name(const testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace lethe::test
