#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/cpu.h"
#include "tests/support/reference_elementwise.h"

namespace lethe::test {
namespace {

using reference::Array;
using reference::map;
using reference::product;

// Lengths around vector widths and chunk boundaries.
const std::vector<int64_t> lengths = {0, 1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 1000, 65536, 65537, 200001};

class ElementwiseTest : public IsaTest {};

TEST_P(ElementwiseTest, EveryUnaryFunctionAndItsGradient) {
#define LETHE_ENTRY(op, functor) Unary::op,
    for (const Unary op : {LETHE_UNARY_OPS(LETHE_ENTRY)}) {
#undef LETHE_ENTRY
        SCOPED_TRACE(name(op));
        const auto oracle = reference::unary_functions().find(name(op));
        ASSERT_NE(oracle, reference::unary_functions().end()) << "give this function an oracle";
        for (const int64_t n : lengths) {
            const Tensor x = random_tensor({n}, 1), g = random_tensor({n}, 2);
            const auto results = same_for_any_threads([&] {
                const Tensor y = cpu->unary(op, x);
                return std::vector{y, cpu->unary_grad(op, g, x, y)};
            });
            EXPECT_TRUE(close(results[0].to_nchw(), map(oracle->second.f, Array(x)), elementwise));
            EXPECT_TRUE(close(results[1].to_nchw(), product(Array(g), map(oracle->second.df, Array(x))),
                              reduction));  // 1 - y*y and the like cancel near saturation
        }
    }
}

TEST_P(ElementwiseTest, AnElementDoesNotDependOnItsPosition) {
#define LETHE_ENTRY(op, functor) Unary::op,
    for (const Unary op : {LETHE_UNARY_OPS(LETHE_ENTRY)}) {
#undef LETHE_ENTRY
        const Tensor x = random_tensor({100}, 1), y = cpu->unary(op, x), grad = cpu->unary_grad(op, x, x, y);
        for (const auto& [begin, end] : {std::pair{0, 100}, {0, 1}, {3, 50}, {16, 33}, {99, 100}}) {
            const Tensor rows = x.rows(begin, end);
            EXPECT_TRUE(identical(cpu->unary(op, rows), y.rows(begin, end))) << name(op) << " " << begin;
            EXPECT_TRUE(identical(cpu->unary_grad(op, rows, rows, y.rows(begin, end)), grad.rows(begin, end)))
                << name(op) << " " << begin;
        }
    }
}

TEST_P(ElementwiseTest, EveryBinaryFunctionAndItsGradients) {
#define LETHE_ENTRY(op, functor) Binary::op,
    for (const Binary op : {LETHE_BINARY_OPS(LETHE_ENTRY)}) {
#undef LETHE_ENTRY
        SCOPED_TRACE(name(op));
        const auto oracle = reference::binary_functions().find(name(op));
        ASSERT_NE(oracle, reference::binary_functions().end()) << "give this function an oracle";
        for (const int64_t n : lengths) {
            const Tensor a = random_tensor({n}, 1), b = random_tensor({n}, 2), g = random_tensor({n}, 3);
            const auto results = same_for_any_threads([&] {
                const Tensor y = cpu->binary(op, a, b);
                return std::vector{y, cpu->binary_grad_a(op, g, a, b, y), cpu->binary_grad_b(op, g, a, b, y)};
            });
            const Array as(a), bs(b);
            EXPECT_TRUE(close(results[0].to_nchw(), map(oracle->second.f, as, bs), elementwise));
            EXPECT_TRUE(close(results[1].to_nchw(), product(Array(g), map(oracle->second.da, as, bs)), elementwise));
            EXPECT_TRUE(close(results[2].to_nchw(), product(Array(g), map(oracle->second.db, as, bs)), elementwise));
        }
    }
}

TEST_P(ElementwiseTest, DerivativeOfReluAtZeroIsZero) {
    const Tensor zero = Tensor::zeros({40}), one = Tensor::full({40}, 1.0f);
    EXPECT_TRUE(identical(cpu->unary_grad(Unary::relu, one, zero, cpu->unary(Unary::relu, zero)), zero));
    EXPECT_TRUE(identical(cpu->binary_grad_a(Binary::add_relu, one, zero, zero, zero), zero));
}

TEST_P(ElementwiseTest, Relu6EndsAtSixAndKeepsNan) {
    const std::vector<float> at{-1, 0, 3, 6, 7, std::numeric_limits<float>::quiet_NaN()};
    const Tensor x = Tensor::from_nchw({6}, at), y = cpu->unary(Unary::relu6, x);
    const Tensor grad = cpu->unary_grad(Unary::relu6, Tensor::full({6}, 2.0f), x, y);
    const float values[] = {0, 0, 3, 6, 6}, grads[] = {0, 0, 2, 0, 0};
    for (int64_t i = 0; i < 5; ++i) {
        EXPECT_EQ(y.data()[i], values[i]);
        EXPECT_EQ(grad.data()[i], grads[i]);
    }
    EXPECT_TRUE(std::isnan(y.data()[5]));
}

// Far out on the left gelu is small and keeps its digits; on the right it is x.
TEST_P(ElementwiseTest, GeluOfLargeAndSmallValues) {
    std::vector<float> at;
    for (float x = -12.0f; x <= 12.0f; x += 0.013f) at.push_back(x);
    const Tensor x = Tensor::from_nchw({static_cast<int64_t>(at.size())}, at), y = cpu->unary(Unary::gelu, x);
    for (int64_t i = 0; i < x.numel(); ++i) {
        const double v = double{x.data()[i]}, expected = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
        // The vector exp is within 4 units in the last place, 8 roundings; the polynomial and the products get as many.
        // exp(-x^2/2) multiplies the rounding error of its argument by x^2/2.
        const double roundings = 16 + v * v;
        ASSERT_NEAR(double{y.data()[i]}, expected, roundings * 0x1p-24 * std::abs(expected)) << v;
    }
    const float infinity = std::numeric_limits<float>::infinity();
    EXPECT_EQ(cpu->unary(Unary::gelu, Tensor::full({1}, infinity)).item(), infinity);
    EXPECT_TRUE(std::isnan(cpu->unary(Unary::gelu, Tensor::full({1}, std::nanf(""))).item()));
}

TEST_P(ElementwiseTest, ScaleAxpyAndAbsAccumulate) {
    for (const int64_t n : lengths) {
        const Tensor x = random_tensor({n}, 1), y = random_tensor({n}, 2);
        const auto results = same_for_any_threads([&] {
            Tensor sum = y.clone(), importance = y.clone();
            cpu->axpy(-1.5f, x, sum);
            cpu->abs_accumulate(0.25f, x, importance);
            return std::vector{cpu->scale(x, 3.25f), sum, importance};
        });
        EXPECT_TRUE(close(results[0].to_nchw(), map([](double v) { return 3.25 * v; }, Array(x)), elementwise));
        const Array xs(x), ys(y);
        EXPECT_TRUE(
            close(results[1].to_nchw(), map([](double a, double b) { return b - 1.5 * a; }, xs, ys), reduction));
        EXPECT_TRUE(close(results[2].to_nchw(), map([](double a, double b) { return b + 0.25 * std::abs(a); }, xs, ys),
                          reduction));
    }
}

TEST_P(ElementwiseTest, InPlaceOperationsRaiseTheVersion) {
    const Tensor x = random_tensor({10}, 1);
    Tensor y = random_tensor({10}, 2);
    const uint64_t before = y.version();
    cpu->axpy(1.0f, x, y);
    EXPECT_GT(y.version(), before);
}

TEST_P(ElementwiseTest, GradientsMeetingAtARelu) {
    for (const int64_t n : lengths) {
        const Tensor a = random_tensor({n}, 1), b = random_tensor({n}, 2),
                     y = cpu->unary(Unary::relu, random_tensor({n}, 3));
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->relu_mask_add(a, b, y), cpu->relu_mask_add(a, Tensor(), y)};
        });
        const Array as(a), bs(b), ys(y);
        Array two(a.shape()), one(a.shape());
        for (std::size_t i = 0; i < two.values.size(); ++i) {
            const bool open = ys.values[i] > 0;
            two.values[i] = open ? as.values[i] + bs.values[i] : 0.0;
            one.values[i] = open ? as.values[i] : 0.0;
        }
        EXPECT_TRUE(close(results[0].to_nchw(), two, elementwise));
        EXPECT_TRUE(close(results[1].to_nchw(), one, exact));
    }
}

TEST_P(ElementwiseTest, SumIsExactToItsLastBits) {
    for (const int64_t n : lengths) {
        // Values of one sign, so that the sum has nothing to cancel: every digit counts.
        const Tensor x = cpu->unary(Unary::square, random_tensor({n}, 1));
        const auto results = same_for_any_threads([&] { return std::vector{cpu->sum(x)}; });
        double expected = 0;
        for (const float value : x.values()) expected += static_cast<double>(value);
        EXPECT_FLOAT_EQ(results[0].item(), static_cast<float>(expected));
    }
}

TEST_P(ElementwiseTest, RowNormsAndRowScales) {
    for (const Shape& shape : {Shape{5, 3, 7, 7}, Shape{33, 10}, Shape{1, 1}, Shape{2, 3, 32, 32}, Shape{4, 1}}) {
        const Tensor x = random_tensor(shape, 1), factor = random_tensor({shape[0]}, 2);
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->row_norm(x), cpu->row_scale(x, factor)};
        });
        const Array xs(x), zero(shape);
        const int64_t row = x.numel() / x.dim(0);
        for (int64_t n = 0; n < x.dim(0); ++n) {
            EXPECT_FLOAT_EQ(results[0].data()[n], static_cast<float>(reference::row_distance(xs, zero, n)));
            for (int64_t i = n * row; i < (n + 1) * row; ++i)
                EXPECT_EQ(results[1].data()[i], x.data()[i] * factor.data()[n]);
        }
    }
}

// Squares of 1e30 overflow float, those of 1e-30 vanish in it.
TEST_P(ElementwiseTest, RowNormsOfExtremeValues) {
    for (const float value : {1e30f, 1e-30f})
        EXPECT_FLOAT_EQ(cpu->row_norm(Tensor::full({1, 100}, value)).item(), value * 10.0f);
    EXPECT_EQ(cpu->row_norm(Tensor::zeros({1, 100})).item(), 0.0f);
}

TEST_P(ElementwiseTest, WarmCallsTakeNoMemory) {
    const Tensor a = random_tensor({70000}, 1), b = random_tensor({70000}, 2);
    expect_steady([&] {
        cpu->binary(Binary::mul, a, b);
        cpu->unary(Unary::relu, a);
        cpu->sum(a);
    });
}

INSTANTIATE_TEST_SUITE_P(Isa, ElementwiseTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
