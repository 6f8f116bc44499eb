#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference_elementwise.h"

namespace lethe::test {
namespace {

using reference::Array;
using reference::map;
using reference::product;

// Lengths around the packs of 4 and 8, the warp, the block and, at 4 elements per thread, the grid's first wave.
const std::vector<int64_t> lengths = {0, 1, 3, 4, 5, 7, 8, 9, 31, 33, 255, 257, 1023, 5003};
constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

std::vector<Unary> unary_ops() {
#define LETHE_ENTRY(op, functor) Unary::op,
    return {LETHE_UNARY_OPS(LETHE_ENTRY)};
#undef LETHE_ENTRY
}
std::vector<Binary> binary_ops() {
#define LETHE_ENTRY(op, functor) Binary::op,
    return {LETHE_BINARY_OPS(LETHE_ENTRY)};
#undef LETHE_ENTRY
}

Tensor vector_of(const std::vector<float>& values) {
    return Tensor::from_nchw({static_cast<int64_t>(values.size())}, values);
}

class DeviceElementwiseTest : public DeviceTest {};

TEST_P(DeviceElementwiseTest, EveryUnaryFunctionAndItsGradient) {
    for (const Unary op : unary_ops()) {
        SCOPED_TRACE(name(op));
        const auto oracle = reference::unary_functions().find(name(op));
        ASSERT_NE(oracle, reference::unary_functions().end()) << "give this function an oracle";
        for (const int64_t n : lengths) {
            const Tensor x = random({n}, 1), g = random({n}, 2), y = device().unary(op, x);
            const Array xs(x), gs(g);
            EXPECT_TRUE(close(y.to_nchw(), map(oracle->second.f, xs), elementwise));
            EXPECT_TRUE(close(device().unary_grad(op, g, x, y).to_nchw(), product(gs, map(oracle->second.df, xs)),
                              reduction));  // 1 - y*y and the like cancel near saturation
        }
    }
}

TEST_P(DeviceElementwiseTest, EveryBinaryFunctionAndItsGradients) {
    for (const Binary op : binary_ops()) {
        SCOPED_TRACE(name(op));
        const auto oracle = reference::binary_functions().find(name(op));
        ASSERT_NE(oracle, reference::binary_functions().end()) << "give this function an oracle";
        for (const int64_t n : lengths) {
            const Tensor a = random({n}, 1), b = random({n}, 2), g = random({n}, 3), y = device().binary(op, a, b);
            const Array as(a), bs(b), gs(g);
            EXPECT_TRUE(close(y.to_nchw(), map(oracle->second.f, as, bs), elementwise));
            EXPECT_TRUE(close(device().binary_grad_a(op, g, a, b, y).to_nchw(),
                              product(gs, map(oracle->second.da, as, bs)), elementwise));
            EXPECT_TRUE(close(device().binary_grad_b(op, g, a, b, y).to_nchw(),
                              product(gs, map(oracle->second.db, as, bs)), elementwise));
        }
    }
}

// Rows that start at any multiple of 4 bytes, alone and mixed with aligned ones.
TEST_P(DeviceElementwiseTest, AnElementDoesNotDependOnItsPosition) {
    const Tensor x = random({100}, 1), b = random({100}, 2);
    for (const auto& [begin, end] : {std::pair{0, 100}, {0, 1}, {1, 100}, {2, 50}, {3, 50}, {16, 33}, {99, 100}}) {
        for (const Unary op : unary_ops())
            EXPECT_TRUE(
                identical(device().unary(op, x.rows(begin, end)).cpu(), device().unary(op, x).cpu().rows(begin, end)))
                << name(op) << " " << begin;
        Tensor sum = b.clone(), part = sum.rows(begin, end);
        device().axpy(2.0f, x.rows(0, end - begin), part);
        const Tensor expected = device().binary(Binary::add, b.rows(begin, end),
                                                device().scale(x.rows(0, end - begin), 2.0f));  // 2x is exact
        EXPECT_TRUE(identical(sum.rows(begin, end).cpu(), expected.cpu())) << begin;
        EXPECT_TRUE(identical(sum.rows(0, begin).cpu(), b.rows(0, begin).cpu())) << begin;
        EXPECT_TRUE(identical(sum.rows(end, 100).cpu(), b.rows(end, 100).cpu())) << begin;
    }
}

TEST_P(DeviceElementwiseTest, ReluKeepsNanAndIsFlatAtZero) {
    const Tensor x = on(vector_of({nan, -infinity, infinity, -0.0f, 0.0f, -1.0f, 1.0f})),
                 y = device().unary(Unary::relu, x);
    const std::vector<float> values = y.to_nchw();
    EXPECT_TRUE(std::isnan(values[0]));
    EXPECT_EQ(std::vector<float>(values.begin() + 1, values.end()), (std::vector<float>{0, infinity, 0, 0, 0, 1}));
    const Tensor ones = Tensor::full({7}, 1.0f, device().device());
    const std::vector<float> slopes = device().unary_grad(Unary::relu, ones, x, y).to_nchw();
    EXPECT_EQ(std::vector<float>(slopes.begin() + 1, slopes.end()), (std::vector<float>{0, 1, 0, 0, 0, 1}));
    EXPECT_TRUE(std::isnan(device().binary(Binary::add_relu, x, ones).to_nchw()[0]));
}

TEST_P(DeviceElementwiseTest, ScaleAxpyAndAbsAccumulate) {
    for (const int64_t n : lengths) {
        const Tensor x = random({n}, 1), y = random({n}, 2);
        Tensor sum = y.clone(), importance = y.clone();
        const uint64_t before = sum.version();
        device().axpy(-1.5f, x, sum);
        EXPECT_GT(sum.version(), before);
        device().abs_accumulate(0.25f, x, importance);
        const Array xs(x), ys(y);
        EXPECT_TRUE(close(device().scale(x, 3.25f).to_nchw(), map([](double v) { return 3.25 * v; }, xs), elementwise));
        EXPECT_TRUE(close(sum.to_nchw(), map([](double a, double b) { return b - 1.5 * a; }, xs, ys), reduction));
        EXPECT_TRUE(close(importance.to_nchw(), map([](double a, double b) { return b + 0.25 * std::abs(a); }, xs, ys),
                          reduction));
    }
}

TEST_P(DeviceElementwiseTest, GradientsMeetingAtARelu) {
    for (const int64_t n : lengths) {
        const Tensor a = random({n}, 1), b = random({n}, 2), y = device().unary(Unary::relu, random({n}, 3));
        const Array as(a), bs(b), ys(y);
        const auto mask = [](double value, double gate) { return gate > 0 ? value : 0.0; };
        const auto sum = [](double u, double v) { return u + v; };
        EXPECT_TRUE(close(device().relu_mask_add(a, b, y).to_nchw(), map(mask, map(sum, as, bs), ys), elementwise));
        EXPECT_TRUE(close(device().relu_mask_add(a, Tensor(), y).to_nchw(), map(mask, as, ys), exact));
    }
}

TEST_P(DeviceElementwiseTest, RowScale) {
    for (const Shape& shape : {Shape{5, 3, 7, 7}, Shape{33, 10}, Shape{1, 1}, Shape{3, 64}, Shape{4, 1}, Shape{9},
                               Shape{0, 3}, Shape{2, 5003}}) {
        const Tensor x = random_tensor(shape, 1), factor = random_tensor({shape[0]}, 2);
        const Tensor y = device().row_scale(on(x), on(factor)).cpu();
        for (int64_t i = 0; i < x.numel(); ++i)
            ASSERT_EQ(y.data()[i], x.data()[i] * factor.data()[i / (x.numel() / shape[0])]) << shape << " at " << i;
    }
}

TEST_P(DeviceElementwiseTest, FillWritesItsRowsAlone) {
    for (const auto& [begin, end] : {std::pair{0, 40}, {1, 2}, {3, 33}, {5, 5}}) {
        Tensor x = random({40}, 1);
        const Tensor before = x.clone();
        Tensor part = x.rows(begin, end);
        device().fill(part, -2.5f);
        EXPECT_EQ(part.to_nchw(), std::vector<float>(static_cast<std::size_t>(end - begin), -2.5f));
        EXPECT_TRUE(identical(x.rows(0, begin).cpu(), before.rows(0, begin).cpu()));
        EXPECT_TRUE(identical(x.rows(end, 40).cpu(), before.rows(end, 40).cpu()));
    }
}

// bfloat16 has 8 bits of significand: next to 1 its numbers are 2^-7 apart.
TEST_P(DeviceElementwiseTest, CastRoundsToNearestEven) {
    const std::vector<float> values = {0.0f,          1.0f,          -1.5f,       0x1.01p0f,   0x1.03p0f,
                                       0x1.010002p0f, 0x1.00fffep0f, -0x1.03p0f,  0x1.fep127f, 0x1.fffffep127f,
                                       0x1p-133f,     0x1p-134f,     0x1.8p-134f, infinity,    -infinity};
    const std::vector<float> rounded = {0.0f,      1.0f, -1.5f,      1.0f,        0x1.04p0f,
                                        0x1.02p0f, 1.0f, -0x1.04p0f, 0x1.fep127f, infinity,
                                        0x1p-133f, 0.0f, 0x1p-133f,  infinity,    -infinity};
    const auto through_bfloat16 = [&](const Tensor& x) {
        const Tensor half = device().cast(x, DType::bfloat16);
        EXPECT_EQ(half.dtype(), DType::bfloat16);
        return device().cast(half, DType::float32);
    };
    EXPECT_EQ(through_bfloat16(on(vector_of(values))).to_nchw(), rounded);
    EXPECT_TRUE(std::isnan(through_bfloat16(on(vector_of({nan}))).item()));
    for (const int64_t n : lengths) {
        const Tensor once = through_bfloat16(random({n}, 1));
        EXPECT_TRUE(close(once.to_nchw(), Array(random_tensor({n}, 1)), Tolerance{0x1p-8 / 0x1p-23, 0}));
        EXPECT_TRUE(identical(through_bfloat16(once).cpu(), once.cpu()));
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceElementwiseTest, all_devices(), device_name);

// On bfloat16, kernels compute in float and round once: each result is that of the same operation on float32 tensors
// with the same contents, rounded.
class DeviceElementwiseBf16Test : public DeviceTest {
protected:
    Tensor half(const Tensor& x) { return device().cast(x, DType::bfloat16); }
    Tensor full(const Tensor& x) { return device().cast(x, DType::float32); }
    void expect_rounded(const Tensor& actual, const Tensor& in_float32) {
        ASSERT_EQ(actual.dtype(), DType::bfloat16);
        EXPECT_TRUE(identical(full(actual).cpu(), full(half(in_float32)).cpu()));
    }
};

TEST_P(DeviceElementwiseBf16Test, EveryFunctionAndGradient) {
    for (const int64_t n : lengths) {
        const Tensor a = half(random({n}, 1)), b = half(random({n}, 2)), g = half(random({n}, 3));
        for (const Unary op : unary_ops()) {
            SCOPED_TRACE(name(op));
            const Tensor y = device().unary(op, a);
            expect_rounded(y, device().unary(op, full(a)));
            expect_rounded(device().unary_grad(op, g, a, y), device().unary_grad(op, full(g), full(a), full(y)));
        }
        for (const Binary op : binary_ops()) {
            SCOPED_TRACE(name(op));
            const Tensor y = device().binary(op, a, b);
            expect_rounded(y, device().binary(op, full(a), full(b)));
            expect_rounded(device().binary_grad_a(op, g, a, b, y),
                           device().binary_grad_a(op, full(g), full(a), full(b), full(y)));
            expect_rounded(device().binary_grad_b(op, g, a, b, y),
                           device().binary_grad_b(op, full(g), full(a), full(b), full(y)));
        }
        expect_rounded(device().relu_mask_add(g, b, a), device().relu_mask_add(full(g), full(b), full(a)));
        expect_rounded(device().relu_mask_add(g, Tensor(), a), device().relu_mask_add(full(g), Tensor(), full(a)));
    }
}

TEST_P(DeviceElementwiseBf16Test, RowsMayStartAnywhere) {
    const Tensor x = half(random({100}, 1)), y = full(device().unary(Unary::square, x)).cpu();
    for (const auto& [begin, end] : {std::pair{1, 100}, {2, 51}, {7, 60}, {8, 100}, {99, 100}})
        EXPECT_TRUE(identical(full(device().unary(Unary::square, x.rows(begin, end))).cpu(), y.rows(begin, end)));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceElementwiseBf16Test, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
