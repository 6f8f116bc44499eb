// The emulated device: what kernels may use, in every order of threads, and the bugs that it must report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cuda/emulation/order.h"
#include "cuda/emulation/trace.h"
#include "tests/emulation_device.h"
#include "tests/emulation_kernels.cuh"

namespace lethe::test {
namespace {

using namespace lethe::emulated;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

template <class T>
std::vector<T> iota(std::size_t n, T first = {}) {
    std::vector<T> values(n);
    std::iota(values.begin(), values.end(), first);
    return values;
}

// Restores the order that the environment asks for.
class Seed {
public:
    explicit Seed(std::uint64_t seed) { emulation::set_seed(seed); }
    ~Seed() { emulation::set_seed(before_); }
    Seed(const Seed&) = delete;
    Seed& operator=(const Seed&) = delete;

private:
    std::uint64_t before_ = emulation::seed();
};

// What holds whatever the order of the threads.
class EmulationTest : public testing::TestWithParam<std::uint64_t> {
    Seed seed_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Seeds, EmulationTest, testing::Values(0, 1, 2, 3));

TEST_P(EmulationTest, EveryThreadHasItsIndices) {
    const dim3 grid(2, 3, 4), block(5, 2, 3);
    const std::size_t per_block = 30, count = 24 * per_block;
    DeviceArray<uint3> blocks(count), threads(count);
    DeviceArray<int> shapes(count);
    launch<indices_kernel>(grid, block, 0, nullptr, blocks.data(), threads.data(), shapes.data());
    std::size_t i = 0;
    const auto b = blocks.values(), t = threads.values();
    for (unsigned bz = 0; bz < 4; ++bz)
        for (unsigned by = 0; by < 3; ++by)
            for (unsigned bx = 0; bx < 2; ++bx)
                for (unsigned z = 0; z < 3; ++z)
                    for (unsigned y = 0; y < 2; ++y)
                        for (unsigned x = 0; x < 5; ++x, ++i) {
                            ASSERT_EQ(std::vector({b[i].x, b[i].y, b[i].z}), std::vector({bx, by, bz}));
                            ASSERT_EQ(std::vector({t[i].x, t[i].y, t[i].z}), std::vector({x, y, z}));
                        }
    EXPECT_THAT(shapes.values(), Each(234523));
}

TEST_P(EmulationTest, BlockBarrierOrdersStaticSharedMemory) {
    const std::vector<int> x = iota(4 * 256, 1);
    DeviceArray<int> in(x), out(x.size());
    launch<scan_kernel>(4, 256, 0, nullptr, in.data(), out.data());
    std::vector<int> expected(x.size());
    for (int block = 0; block < 4; ++block)
        std::partial_sum(x.begin() + block * 256, x.begin() + (block + 1) * 256, expected.begin() + block * 256);
    EXPECT_EQ(out.values(), expected);
}

TEST_P(EmulationTest, DynamicSharedMemory) {
    const std::vector<double> x = iota(3 * 64, 1.0);
    DeviceArray<double> in(x), out(x.size());
    launch<reverse_kernel>(3, 64, 64 * sizeof(double), nullptr, in.data(), out.data());
    std::vector<double> expected = x;
    for (int block = 0; block < 3; ++block)
        std::reverse(expected.begin() + block * 64, expected.begin() + (block + 1) * 64);
    EXPECT_EQ(out.values(), expected);
}

// From the definition in the CUDA programming guide: the lane that `lane` reads, itself when that is outside its group.
int source_lane(Shuffle kind, int lane, int by, int width) {
    const int first = lane / width * width, last = first + width - 1;
    switch (kind) {
        case Shuffle::index:
            return first + (by % width + width) % width;
        case Shuffle::exclusive_or:
            return (lane ^ by) > last ? lane : lane ^ by;
        case Shuffle::up:
            return lane - by < first ? lane : lane - by;
        case Shuffle::down:
            return lane + by > last ? lane : lane + by;
    }
    return -1;
}

TEST_P(EmulationTest, ShufflesOfEveryWidth) {
    const std::vector<float> x = iota(64, 1.0f);
    DeviceArray<float> in(x), out(64);
    for (const Shuffle kind : {Shuffle::index, Shuffle::exclusive_or, Shuffle::up, Shuffle::down})
        for (const int width : {1, 2, 4, 8, 16, 32})
            for (const int by : {0, 1, 3, 7, 16, 31}) {
                launch<shuffle_kernel>(1, 64, 0, nullptr, kind, in.data(), out.data(), by, width);
                const std::vector<float> y = out.values();
                for (std::size_t t = 0; t < 64; ++t) {
                    const auto lane = static_cast<int>(t % 32);
                    const auto source = t - t % 32 + static_cast<std::size_t>(source_lane(kind, lane, by, width));
                    ASSERT_EQ(y[t], x[source]) << "kind " << static_cast<int>(kind) << ", width " << width << ", by "
                                               << by << ", thread " << t;
                }
            }
}

TEST_P(EmulationTest, HalvesOfAWarpGoTheirOwnWay) {
    DeviceArray<int> out(std::size_t{32});
    launch<halves_kernel>(1, 32, 0, nullptr, out.data());
    std::vector<int> expected(32, 16 + 16);
    std::fill(expected.begin(), expected.begin() + 16, 120 + 16);
    EXPECT_EQ(out.values(), expected);
}

TEST_P(EmulationTest, ValuesOfLanesOutsideTheMaskAreNaN) {
    DeviceArray<float> out(std::size_t{16});
    launch<outside_mask_kernel>(1, 32, 0, nullptr, out.data());
    const std::vector<float> y = out.values();
    for (std::size_t lane = 0; lane < 16; ++lane) EXPECT_EQ(std::isnan(y[lane]), lane >= 8) << lane;
}

TEST_P(EmulationTest, VotesOfPartialWarpsAfterEarlyExit) {
    DeviceArray<unsigned> ballots(std::vector<unsigned>(40, 7));
    DeviceArray<int> any(std::vector<int>(40, 7)), all(std::vector<int>(40, 7));
    launch<votes_kernel>(1, 40, 0, nullptr, ballots.data(), any.data(), all.data());
    unsigned first = 0, second = 0;
    for (unsigned t = 0; t < 40; t += 6) (t < 32 ? first : second) |= 1u << t % 32;
    for (std::size_t t = 0; t < 40; ++t) {
        const bool odd = t % 2 == 1, last = t >= 32;
        EXPECT_EQ(ballots.values()[t], odd ? 7u : last ? second : first) << t;
        EXPECT_EQ(any.values()[t], odd ? 7 : last ? 1 : 0) << t;
        EXPECT_EQ(all.values()[t], odd ? 7 : last ? 0 : 1) << t;
    }
}

TEST_P(EmulationTest, LanesThatHaveEndedAreNotActive) {
    DeviceArray<unsigned> out(std::vector<unsigned>(32, 0));
    launch<active_lanes_kernel>(1, 32, 0, nullptr, out.data());
    for (std::size_t lane = 0; lane < 32; ++lane) EXPECT_EQ(out.values()[lane], lane % 2 == 1 ? 0u : 0x55555555u);
}

TEST_P(EmulationTest, ReductionsAreRepeatableInBlocksOfAnyShape) {
    const std::vector<float> x = iota(96, -40.0f);  // sums to 720
    DeviceArray<float> in(x), sums(std::size_t{288}), largest(std::size_t{288});
    DeviceArray<double> double_sums(std::size_t{288});
    for (const dim3 block : {dim3(96), dim3(8, 4, 3)}) {
        launch<reductions_kernel>(1, block, 0, nullptr, in.data(), sums.data(), double_sums.data(), largest.data());
        for (std::size_t i = 0; i < 288; ++i) {
            const auto round = static_cast<float>(i / 96);
            EXPECT_EQ(sums.values()[i], 720.0f + 96.0f * round);
            EXPECT_EQ(double_sums.values()[i], 720.0 + 96.0 * static_cast<double>(round));
            EXPECT_EQ(largest.values()[i], 55.0f + round);
        }
    }
}

TEST_P(EmulationTest, Atomics) {
    std::vector<int> x(1000);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * i % 11);
    DeviceArray<int> in(x), largest(std::vector<int>{-1}), counter(std::vector<int>{0});
    DeviceArray<unsigned> bins(std::vector<unsigned>(11, 0));
    DeviceArray<unsigned long long> total(std::vector<unsigned long long>{0});
    DeviceArray<float> sum(std::vector<float>{0.0f});
    launch<histogram_kernel>(3, 64, 0, nullptr, in.data(), 1000, bins.data(), total.data(), largest.data(), sum.data());
    for (int bin = 0; bin < 11; ++bin)
        EXPECT_EQ(bins.values()[static_cast<std::size_t>(bin)], std::count(x.begin(), x.end(), bin));
    EXPECT_EQ(total.values()[0], 1000u);
    EXPECT_EQ(largest.values()[0], *std::max_element(x.begin(), x.end()));
    EXPECT_EQ(sum.values()[0], 500.0f);
    launch<count_kernel>(3, 64, 0, nullptr, counter.data());
    EXPECT_EQ(counter.values()[0], 192);
}

TEST_P(EmulationTest, ThreadsMayMeetTheFirstBarrierAfterOthersHaveEnded) {
    DeviceArray<int> out(std::vector<int>(256, -1));
    launch<late_barrier_kernel>(2, 128, 0, nullptr, 250, out.data());
    for (int i = 0; i < 256; ++i) {
        int expected = i;
        if (i % 128 >= 96) expected += i ^ 1;
        if (i >= 250) expected = -1;
        EXPECT_EQ(out.values()[static_cast<std::size_t>(i)], expected) << i;
    }
}

TEST_P(EmulationTest, PacksAndStorageTypes) {
    const std::vector<float> x = iota(64, 1.0f);
    DeviceArray<float> in(x), out(std::size_t{64});
    launch<scale_packs_kernel<float>>(1, 32, 0, nullptr, in.data(), out.data(), 64, 3);
    std::vector<Bf16> halves(64);
    for (std::size_t i = 0; i < 64; ++i) store(&halves[i], x[i]);
    DeviceArray<Bf16> half_in(halves), half_out(std::size_t{64});
    launch<scale_packs_kernel<Bf16>>(2, 32, 0, nullptr, half_in.data(), half_out.data(), 64, 3);
    for (std::size_t i = 0; i < 64; ++i) {
        EXPECT_EQ(out.values()[i], 3.0f * x[i]);
        EXPECT_EQ(load(&half_out.values()[i]), 3.0f * x[i]);
    }
    EXPECT_THAT(
        error_of([&] { launch<scale_packs_kernel<float>>(1, 32, 0, nullptr, in.data() + 1, out.data(), 4, 1.0f); }),
        AllOf(HasSubstr("kernel scale_packs_kernel"), HasSubstr("thread (0,0,0)"), HasSubstr("misaligned")));
}

TEST(EmulatedTypes, Bfloat16RoundsToNearestEven) {
    const float ulp = 0.0078125f;  // of bfloat16 in [1, 2)
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<std::pair<float, float>> cases = {{1.0f, 1.0f},
                                                        {1.0f + 0.49f * ulp, 1.0f},
                                                        {1.0f + 0.5f * ulp, 1.0f},
                                                        {1.0f + 0.51f * ulp, 1.0f + ulp},
                                                        {1.0f + 1.5f * ulp, 1.0f + 2.0f * ulp},
                                                        {-1.0f - 1.5f * ulp, -1.0f - 2.0f * ulp},
                                                        {std::numeric_limits<float>::max(), infinity},
                                                        {-infinity, -infinity},
                                                        {0.0f, 0.0f}};
    for (const auto& [value, expected] : cases) EXPECT_EQ(__bfloat162float(__float2bfloat16(value)), expected);
    const float nan = std::bit_cast<float>(0x7f800001u);  // its upper half alone would be infinity
    EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16(nan))));
}

TEST(EmulatedTypes, DeviceMathematics) {
    EXPECT_EQ(rsqrtf(16.0f), 0.25f);
    EXPECT_EQ(__expf(0.0f), 1.0f);
    const float a = 1.0f + std::numeric_limits<float>::epsilon();
    EXPECT_EQ(__fsub_rn(__fmul_rn(a, a), __fadd_rn(a, a - 1.0f)), 0.0f) << "the product must be rounded";
    EXPECT_GT(__fmaf_rn(a, a, -__fadd_rn(a, a - 1.0f)), 0.0f) << "the product must not be rounded";
    EXPECT_EQ(__fdiv_rn(__fsqrt_rn(9.0f), 2.0f), 1.5f);
    EXPECT_EQ(__uint_as_float(__float_as_uint(-2.5f)), -2.5f);
    EXPECT_EQ(__float_as_int(__int_as_float(7)), 7);
    EXPECT_EQ(__umulhi(0x80000000u, 6u), 3u);
    EXPECT_EQ(__popc(0xf0f0u), 8);
    EXPECT_EQ(__clz(1), 31);
    EXPECT_EQ(__ffs(0), 0);
    EXPECT_EQ(__ffs(8), 4);
    EXPECT_EQ(min(std::int64_t{1} << 40, 7), 7);
    EXPECT_EQ(max(std::int64_t{1} << 40, 7), std::int64_t{1} << 40);
    EXPECT_EQ(max(std::numeric_limits<float>::quiet_NaN(), 1.0f), 1.0f) << "as fmaxf";
}

std::vector<int> places(unsigned blocks, unsigned threads) {
    DeviceArray<int> counter(std::vector<int>{0}), out(std::size_t{blocks} * threads);
    launch<order_kernel>(blocks, threads, 0, nullptr, counter.data(), out.data());
    return out.values();
}

TEST(EmulationOrder, FollowsTheSeed) {
    const std::vector<int> natural = iota(3 * 96, 0);
    const Seed restored(0);
    EXPECT_EQ(places(3, 96), natural);
    emulation::set_seed(1);
    const std::vector<int> first = places(3, 96), second = places(3, 96);
    emulation::set_seed(1);
    EXPECT_EQ(places(3, 96), first) << "the same seed must give the same order";
    EXPECT_NE(second, first);
    for (const std::vector<int>& order : {first, second}) {
        EXPECT_NE(order, natural);
        EXPECT_TRUE(std::is_permutation(order.begin(), order.end(), natural.begin()));
    }
    emulation::set_seed(2);
    EXPECT_NE(places(3, 96), first);
}

TEST(EmulationOrder, BlocksAndWarpsAreShuffledToo) {
    const Seed restored(1);
    std::vector<int> blocks, warps;
    const std::vector<int> order = places(8, 32), one_block = places(1, 256);
    for (std::size_t i = 0; i < 256; i += 32) {
        blocks.push_back(*std::min_element(order.begin() + static_cast<std::ptrdiff_t>(i),
                                           order.begin() + static_cast<std::ptrdiff_t>(i) + 32));
        warps.push_back(*std::min_element(one_block.begin() + static_cast<std::ptrdiff_t>(i),
                                          one_block.begin() + static_cast<std::ptrdiff_t>(i) + 32));
    }
    EXPECT_FALSE(std::is_sorted(blocks.begin(), blocks.end()));
    EXPECT_FALSE(std::is_sorted(warps.begin(), warps.end()));
}

// Planted bugs.

TEST(PlantedBug, MissingBarrierShowsUnderASeed) {
    const std::vector<int> x = iota(32, 1);
    std::vector<int> expected(32);
    std::partial_sum(x.rbegin(), x.rend(), expected.begin());
    DeviceArray<int> in(x), out(std::size_t{32});
    const auto right = [&](std::uint64_t seed) {
        const Seed restored(seed);
        launch<scan_without_barrier_kernel>(1, 32, 0, nullptr, in.data(), out.data());
        return out.values() == expected;
    };
    EXPECT_TRUE(right(0)) << "the bug should hide in the natural order";
    EXPECT_FALSE(right(1) && right(2));
}

TEST(PlantedBug, WarpThatRunsAheadShowsUnderASeed) {
    DeviceArray<int> out(std::size_t{128});
    const auto right = [&](std::uint64_t seed) {
        const Seed restored(seed);
        launch<round_without_barrier_kernel>(1, 128, 0, nullptr, 10, out.data());
        return out.values() == std::vector<int>(128, 4 * 32 * 45);
    };
    EXPECT_FALSE(right(1) && right(2));
}

TEST(PlantedBug, WriteBehindABufferNamesKernelAndOffset) {
    DeviceArray<float> y(std::size_t{25});
    EXPECT_EQ(error_of([&] { launch<write_at_kernel>(1, 1, 0, nullptr, y.data(), 27); }),
              "kernel write_at_kernel wrote outside a device buffer of 100 bytes, at offset 108");
    EXPECT_EQ(error_of([&] { launch<write_at_kernel>(1, 1, 0, nullptr, y.data(), 24); }), "no error")
        << "the damage must be reported once";
}

TEST(PlantedBug, WriteBeforeABufferNamesKernelAndOffset) {
    DeviceArray<float> y(std::size_t{25});
    EXPECT_EQ(error_of([&] { launch<write_at_kernel>(1, 1, 0, nullptr, y.data(), -3); }),
              "kernel write_at_kernel wrote outside a device buffer of 100 bytes, at offset -12");
}

TEST(PlantedBug, WriteBehindDynamicSharedMemory) {
    EXPECT_EQ(error_of([] { launch<write_shared_at_kernel>(1, 1, 64, nullptr, 16); }),
              "kernel write_shared_at_kernel, block (0,0,0) wrote outside its dynamic shared memory of 64 bytes, at "
              "offset 64");
}

TEST(PlantedBug, BarrierThatSomeThreadsSkip) {
    const Seed natural(0);
    EXPECT_THAT(error_of([] { launch<barrier_in_branch_kernel>(2, 64, 0, nullptr, 0, 40); }),
                AllOf(HasSubstr("kernel barrier_in_branch_kernel, block (0,0,0): divergent barrier: "),
                      HasSubstr("threads (0,0,0)-(39,0,0) wait at __syncthreads, emulation_kernels.cuh:"),
                      HasSubstr("threads (40,0,0)-(63,0,0) have ended")));
    EXPECT_THAT(error_of([] { launch<barrier_in_branch_kernel>(2, 64, 0, nullptr, 63, 64); }),
                AllOf(HasSubstr("threads (0,0,0)-(62,0,0) have ended"), HasSubstr("threads (63,0,0) wait at")));
}

TEST(PlantedBug, ThreadsAtDifferentBarriers) {
    EXPECT_THAT(error_of([] { launch<two_barriers_kernel>(1, 32, 0, nullptr); }),
                AllOf(HasSubstr("divergent barrier"), HasSubstr("threads (0,0,0)-(4,0,0) (6,0,0)-(31,0,0) wait at"),
                      HasSubstr("threads (5,0,0) wait at")));
}

TEST(PlantedBug, MasksThatDoNotMatch) {
    EXPECT_THAT(error_of([] { launch<masks_differ_kernel>(1, 32, 0, nullptr); }),
                AllOf(HasSubstr("kernel masks_differ_kernel"), HasSubstr("(16,0,0)-(31,0,0) wait at __syncwarp"),
                      HasSubstr("for lanes 0xffffffff")));
    EXPECT_THAT(error_of([] { launch<not_in_mask_kernel>(1, 1, 0, nullptr); }),
                AllOf(HasSubstr("thread (0,0,0)"), HasSubstr("lane 0 is not in its own mask 0x0000fffe")));
    EXPECT_THAT(error_of([] { launch<width_kernel>(1, 32, 0, nullptr); }), HasSubstr("groups of 3 lanes"));
}

TEST(EmulationErrors, ExceptionsNameTheThreadAndLeaveTheEmulatorUsable) {
    for (const int thread : {0, 33, 63})
        EXPECT_EQ(error_of([&] { launch<throwing_kernel>(1, 64, 0, nullptr, thread); }),
                  concat("kernel throwing_kernel, block (0,0,0), thread (", thread, ",0,0): value is not finite"));
    EXPECT_EQ(error_of([] { launch<throwing_kernel>(1, 64, 0, nullptr, -1); }), "no error");
}

TEST(EmulationErrors, CallsInTheWrongPlace) {
    EXPECT_THAT(error_of([] { launch<launching_kernel>(1, 1, 0, nullptr); }), HasSubstr("from inside a kernel"));
    EXPECT_THAT(error_of([] { __syncthreads(); }), HasSubstr("outside a kernel"));
    EXPECT_THAT(error_of([] { warp_sum(1.0f); }), HasSubstr("outside a kernel"));
}

TEST(Launch, ConvertsArgumentsAndSkipsEmptyGrids) {
    DeviceArray<float> x(std::vector<float>{1.0f, 2.0f}), y(std::vector<float>{10.0f, 20.0f});
    launch<axpy_kernel<float>>(1, 32, 0, nullptr, 2, x.data(), y.data(), 2);
    EXPECT_EQ(y.values(), (std::vector<float>{12.0f, 24.0f}));
    launch<axpy_kernel<float>>(dim3(0, 1, 1), 32, 0, nullptr, 2, nullptr, nullptr, 2);
    EXPECT_EQ(y.values(), (std::vector<float>{12.0f, 24.0f}));
}

TEST(Launch, RefusesWhatADeviceRefuses) {
    const auto attempt = [](dim3 grid, dim3 block, std::size_t shared) {
        return error_of([&] { launch<axpy_kernel<Bf16>>(grid, block, shared, nullptr, 1.0f, nullptr, nullptr, 0); });
    };
    EXPECT_EQ(attempt(1, 1024, 232448), "no error");
    EXPECT_THAT(attempt(1, 2048, 0), AllOf(HasSubstr("cannot launch axpy_kernel"),
                                           HasSubstr(" on a grid of 1x1x1 blocks of 2048x1x1 threads with 0 bytes of "
                                                     "dynamic shared memory: invalid configuration argument")));
    EXPECT_THAT(attempt(1, dim3(1, 1, 65), 0), HasSubstr("invalid configuration"));
    EXPECT_THAT(attempt(1, 0, 0), HasSubstr("invalid configuration"));
    EXPECT_THAT(attempt(dim3(1, 65536), 32, 0), HasSubstr("invalid configuration"));
    EXPECT_THAT(attempt(1, 32, 232449), HasSubstr("invalid configuration"));
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
}

TEST(Watch, FollowsOneThread) {
    DeviceArray<int> y(std::vector<int>{0});
    emulation::watch({2, 0, 0}, {33, 0, 0});
    testing::internal::CaptureStderr();
    launch<watched_kernel>(4, 64, 0, nullptr, y.data());
    const std::string text = testing::internal::GetCapturedStderr();
    emulation::watch_none();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5) << text;
    EXPECT_THAT(text, AllOf(HasSubstr("[emulator] kernel watched_kernel, block (2,0,0), thread (33,0,0): starts\n"),
                            HasSubstr("__shfl_xor_sync at emulation_kernels.cuh:"),
                            HasSubstr("gives 33, gets 32 from lane 0\n"),
                            HasSubstr("__syncthreads at emulation_kernels.cuh:"), HasSubstr("ends\n")));
    EXPECT_EQ(y.values()[0], 2000 + 33 + 32);
}

}  // namespace
}  // namespace lethe::test
