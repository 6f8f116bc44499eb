#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/cpu.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

struct Case {
    int64_t rows, in, out;
};
const std::vector<Case> cases = {{16, 64, 10}, {33, 64, 100}, {1, 1, 1},   {5, 17, 3},
                                 {3, 7, 33},   {128, 64, 10}, {2, 512, 7}, {20, 130, 18}};

class LinearTest : public IsaTest {};

TEST_P(LinearTest, AgreesWithTheOracle) {
    for (const auto& [rows, in, out] : cases) {
        SCOPED_TRACE(concat(rows, " rows, ", in, " to ", out));
        const float small = 0.25f / std::sqrt(static_cast<float>(std::max({rows, in, out})));
        const Tensor x = random_tensor({rows, in}, 1), w = random_tensor({out, in}, 2, small),
                     b = random_tensor({out}, 3);
        const Tensor g = random_tensor({rows, out}, 4, small);
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->linear(x, w, b), cpu->linear_grad_x(g, w), cpu->linear_grad_w(g, x),
                               cpu->column_sum(g)};
        });
        const Array xs(x), ws(w), gs(g);
        EXPECT_TRUE(
            close(results[0].to_nchw(), reference::linear(xs, ws, Array(b)), reduction, static_cast<double>(in)));
        EXPECT_TRUE(close(results[1].to_nchw(), reference::linear_grad_x(gs, ws), reduction, static_cast<double>(out)));
        EXPECT_TRUE(
            close(results[2].to_nchw(), reference::linear_grad_w(gs, xs), reduction, static_cast<double>(rows)));
        Array sums({out});
        for (int64_t n = 0; n < rows; ++n)
            for (int64_t o = 0; o < out; ++o) sums.at(o) += gs.at(n, o);
        EXPECT_TRUE(close(results[3].to_nchw(), sums, elementwise));
    }
}

TEST_P(LinearTest, ARowDoesNotDependOnItsBatch) {
    const Tensor x = random_tensor({37, 64}, 1), w = random_tensor({10, 64}, 2), b = random_tensor({10}, 3);
    const Tensor y = cpu->linear(x, w, b), g = cpu->linear_grad_x(y, w);
    for (int64_t n = 0; n < 37; ++n) {
        EXPECT_TRUE(identical(y.rows(n, n + 1), cpu->linear(x.rows(n, n + 1), w, b)));
        EXPECT_TRUE(identical(g.rows(n, n + 1), cpu->linear_grad_x(y.rows(n, n + 1), w)));
    }
}

TEST_P(LinearTest, WarmCallsTakeNoMemory) {
    const Tensor x = random_tensor({37, 64}, 1), w = random_tensor({10, 64}, 2), b = random_tensor({10}, 3);
    expect_steady([&] {
        const Tensor y = cpu->linear(x, w, b);
        cpu->linear_grad_x(y, w);
        cpu->linear_grad_w(y, x);
        cpu->column_sum(y);
    });
}

INSTANTIATE_TEST_SUITE_P(Isa, LinearTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
