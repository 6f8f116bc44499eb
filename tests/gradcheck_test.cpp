// Every differentiable operation: its gradient along a random direction against the central difference of a
// double-precision forward that shares no code with the library.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "autograd/ops.h"
#include "tests/support/compare.h"
#include "tests/support/reference.h"
#include "tests/support/reference_tokens.h"

namespace lethe::test {
namespace {

using reference::Array;
using Inputs = std::vector<Array>;

struct Case {
    std::string name;
    std::vector<Tensor> inputs;
    std::function<Var(const std::vector<Var>&)> library;
    std::function<Array(const Inputs&)> oracle;
};

void PrintTo(const Case& check, std::ostream* out) { *out << check.name; }

double dot(const Array& a, const Array& b) {
    double total = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) total += a.values[i] * b.values[i];
    return total;
}

Inputs moved(const Inputs& inputs, const Inputs& direction, double distance) {
    Inputs result = inputs;
    for (std::size_t i = 0; i < inputs.size(); ++i)
        for (std::size_t j = 0; j < inputs[i].values.size(); ++j)
            result[i].values[j] += distance * direction[i].values[j];
    return result;
}

Array map(const Array& x, const std::function<double(double)>& f) {
    Array y = x;
    for (double& value : y.values) value = f(value);
    return y;
}

Array zip(const Array& a, const Array& b, const std::function<double(double, double)>& f) {
    Array y = a;
    for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] = f(a.values[i], b.values[i]);
    return y;
}

double positive(double x) { return x > 0 ? x : 0; }

// relu?(conv(x, w) + bias + residual)
Array fused(const Inputs& in, bool relu, const Conv2d& op) {
    Array y = reference::conv2d(in[0], in[1], op);
    const Shape& s = y.shape;
    for (int64_t n = 0; n < s[0]; ++n)
        for (int64_t k = 0; k < s[1]; ++k)
            for (int64_t p = 0; p < s[2]; ++p)
                for (int64_t q = 0; q < s[3]; ++q) {
                    const double value = y.at(n, k, p, q) + in[2].at(k) + in[3].at(n, k, p, q);
                    y.at(n, k, p, q) = relu ? positive(value) : value;
                }
    return y;
}

Array shortcut(const Array& x, int64_t channels, int64_t stride) {
    const Shape& s = x.shape;
    const int64_t before = (channels - s[1]) / 2;
    Array y(Shape{s[0], channels, (s[2] + stride - 1) / stride, (s[3] + stride - 1) / stride});
    for (int64_t n = 0; n < s[0]; ++n)
        for (int64_t c = 0; c < s[1]; ++c)
            for (int64_t p = 0; p < y.shape[2]; ++p)
                for (int64_t q = 0; q < y.shape[3]; ++q) y.at(n, before + c, p, q) = x.at(n, c, p * stride, q * stride);
    return y;
}

Case batchnorm_case(const std::string& name, const BatchNorm& op) {
    const Shape x{3, 5, 4, 3}, c{5};
    const Tensor mean = random_tensor(c, 31), var = Tensor::full(c, 1.7f);
    return {name,
            {random_tensor(x, 32, 2), random_tensor(c, 33), random_tensor(c, 34), random_tensor(x, 35)},
            [=](const std::vector<Var>& v) {
                Tensor running_mean = mean.clone(), running_var = var.clone();
                return batchnorm(v[0], v[1], v[2], running_mean, running_var, v[3], op);
            },
            [=](const Inputs& in) {
                reference::BatchNormState state{Array(mean), Array(mean), Array(mean), Array(var)};
                return reference::batchnorm(in[0], in[1], in[2], &in[3], op, state);
            }};
}

template <class Functor>
double unary_in_double(double x);
template <>
double unary_in_double<elementwise::Relu>(double x) {
    return positive(x);
}
template <>
double unary_in_double<elementwise::Relu6>(double x) {
    return std::min(positive(x), 6.0);
}
template <>
double unary_in_double<elementwise::Square>(double x) {
    return x * x;
}
template <>
double unary_in_double<elementwise::Tanh>(double x) {
    return std::tanh(x);
}
template <>
double unary_in_double<elementwise::Sigmoid>(double x) {
    return 1 / (1 + std::exp(-x));
}
template <>
double unary_in_double<elementwise::Exp>(double x) {
    return std::exp(x);
}

template <>
double unary_in_double<elementwise::Gelu>(double x) {
    return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}

template <class Functor>
double binary_in_double(double a, double b);
template <>
double binary_in_double<elementwise::Add>(double a, double b) {
    return a + b;
}
template <>
double binary_in_double<elementwise::Sub>(double a, double b) {
    return a - b;
}
template <>
double binary_in_double<elementwise::Mul>(double a, double b) {
    return a * b;
}
template <>
double binary_in_double<elementwise::AddRelu>(double a, double b) {
    return positive(a + b);
}

// An op added to the lists fails to link here until its formula stands above once more, in double.
void add_elementwise_cases(std::vector<Case>& cases) {
    const Shape shape{3, 7};
#define LETHE_CASE(op, functor)                                                        \
    cases.push_back({"unary_" #op,                                                     \
                     {random_tensor(shape, 41)},                                       \
                     [](const std::vector<Var>& v) { return unary(Unary::op, v[0]); }, \
                     [](const Inputs& in) { return map(in[0], unary_in_double<elementwise::functor>); }});
    LETHE_UNARY_OPS(LETHE_CASE)
#undef LETHE_CASE
#define LETHE_CASE(op, functor)                                                                \
    cases.push_back({"binary_" #op,                                                            \
                     {random_tensor(shape, 42), random_tensor(shape, 43)},                     \
                     [](const std::vector<Var>& v) { return binary(Binary::op, v[0], v[1]); }, \
                     [](const Inputs& in) { return zip(in[0], in[1], binary_in_double<elementwise::functor>); }});
    LETHE_BINARY_OPS(LETHE_CASE)
#undef LETHE_CASE
}

void add_convolution_cases(std::vector<Case>& cases) {
    for (const Conv2d op : {Conv2d{1, 1}, Conv2d{2, 1}, Conv2d{1, 0}, Conv2d{2, 1, 4}, Conv2d{1, 1, 16}}) {
        const std::string name = "conv2d_stride" + std::to_string(op.stride) + "_pad" + std::to_string(op.pad) +
                                 (op.groups > 1 ? "_groups" + std::to_string(op.groups) : "");
        const Shape x{2, 16, 7, 6}, w{16, 16 / op.groups, 3, 3}, y = op.output_shape(x, w);
        cases.push_back({name,
                         {random_tensor(x, 51), random_tensor(w, 52, 0.1f)},
                         [op](const std::vector<Var>& v) { return conv2d(v[0], v[1], op); },
                         [op](const Inputs& in) { return reference::conv2d(in[0], in[1], op); }});
        for (const bool with_relu : {false, true})
            cases.push_back(
                {name + (with_relu ? "_fused_relu" : "_fused"),
                 {random_tensor(x, 51), random_tensor(w, 52, 0.1f), random_tensor({16}, 53), random_tensor(y, 54)},
                 [op, with_relu](const std::vector<Var>& v) {
                     return conv2d_fused(v[0], v[1], v[2], v[3], with_relu, op);
                 },
                 [op, with_relu](const Inputs& in) { return fused(in, with_relu, op); }});
    }
}

// Where relus meet convolutions, a mask is applied with the gradient it belongs to (Var::replace_masked): a chain whose
// first result goes into a convolution, over a skip connection, and through a second convolution without a relu.
void add_masked_case(std::vector<Case>& cases) {
    const Shape x{2, 16, 5, 4}, w{16, 16, 3, 3};
    const Conv2d op{1, 1};
    cases.push_back({"masked_chain",
                     {random_tensor(x, 81), random_tensor(w, 82, 0.1f), random_tensor({16}, 83), random_tensor(x, 84)},
                     [op](const std::vector<Var>& v) {
                         const Var first = conv2d_fused(v[0], v[1], v[2], v[3], true, op);
                         const Var second = conv2d_fused(first, v[1], v[2], Var(), true, op);
                         const Var projection = conv2d_fused(first, v[1], v[2], Var(), false, op);
                         const Var third = conv2d_fused(second, v[1], v[2], projection, true, op);
                         return conv2d_fused(third, v[1], v[2], first, true, op);
                     },
                     [op](const Inputs& in) {
                         const Array none(in[3].shape);
                         const auto layer = [&](const Array& from, const Array& added, bool relu) {
                             return fused({from, in[1], in[2], added}, relu, op);
                         };
                         const Array first = layer(in[0], in[3], true);
                         const Array second = layer(first, none, true), projection = layer(first, none, false);
                         return layer(layer(second, projection, true), first, true);
                     }});
}

void add_layer_cases(std::vector<Case>& cases) {
    const Shape x{2, 4, 6, 5};
    cases.push_back({"max_pool2d",
                     {random_tensor(x, 61)},
                     [](const std::vector<Var>& v) {
                         return max_pool2d(v[0], {3, 2, 1});
                     },
                     [](const Inputs& in) {
                         std::vector<int64_t> argmax;
                         return reference::max_pool2d(in[0], {3, 2, 1}, argmax);
                     }});
    cases.push_back({"max_pool2d_ceil",
                     {random_tensor(x, 61)},
                     [](const std::vector<Var>& v) {
                         return max_pool2d(v[0], {3, 2, 0, true});
                     },
                     [](const Inputs& in) {
                         std::vector<int64_t> argmax;
                         return reference::max_pool2d(in[0], {3, 2, 0, true}, argmax);
                     }});
    cases.push_back({"avg_pool2d",
                     {random_tensor(x, 60)},
                     [](const std::vector<Var>& v) {
                         return avg_pool2d(v[0], {3, 2, 1, true});
                     },
                     [](const Inputs& in) {
                         return reference::avg_pool2d(in[0], {3, 2, 1, true});
                     }});
    cases.push_back({"concat_channels",
                     {random_tensor(x, 58), random_tensor({2, 3, 6, 5}, 59)},
                     [](const std::vector<Var>& v) {
                         return concat_channels({v[0], v[1], v[0]});
                     },
                     [](const Inputs& in) {
                         Array y(Shape{2, 11, 6, 5});
                         for (int64_t n = 0; n < 2; ++n)
                             for (int64_t c = 0; c < 11; ++c)
                                 for (int64_t h = 0; h < 6; ++h)
                                     for (int64_t w = 0; w < 5; ++w)
                                         y.at(n, c, h, w) = c < 4   ? in[0].at(n, c, h, w)
                                                            : c < 7 ? in[1].at(n, c - 4, h, w)
                                                                    : in[0].at(n, c - 7, h, w);
                         return y;
                     }});
    cases.push_back({"global_avg_pool",
                     {random_tensor(x, 62)},
                     [](const std::vector<Var>& v) { return global_avg_pool(v[0]); },
                     [](const Inputs& in) { return reference::global_avg_pool(in[0]); }});
    cases.push_back({"linear",
                     {random_tensor({3, 5}, 63), random_tensor({4, 5}, 64), random_tensor({4}, 65)},
                     [](const std::vector<Var>& v) { return linear(v[0], v[1], v[2]); },
                     [](const Inputs& in) { return reference::linear(in[0], in[1], in[2]); }});
    cases.push_back({"shortcut_a",
                     {random_tensor(x, 66)},
                     [](const std::vector<Var>& v) { return shortcut_a(v[0], 8, 2); },
                     [](const Inputs& in) { return shortcut(in[0], 8, 2); }});
    const Tensor mean = random_tensor({4}, 67),
                 std = Tensor::from_nchw({4}, std::vector<float>{0.5f, 1.5f, 2.0f, 0.2f});
    cases.push_back({"normalize",
                     {random_tensor(x, 68)},
                     [=](const std::vector<Var>& v) { return normalize(v[0], mean, std); },
                     [=](const Inputs& in) {
                         Array y = in[0];
                         for (int64_t n = 0; n < 2; ++n)
                             for (int64_t c = 0; c < 4; ++c)
                                 for (int64_t p = 0; p < 6; ++p)
                                     for (int64_t q = 0; q < 5; ++q)
                                         y.at(n, c, p, q) =
                                             (y.at(n, c, p, q) - double{mean.data()[c]}) / double{std.data()[c]};
                         return y;
                     }});
    const std::vector<int64_t> labels{2, 0, 3};
    cases.push_back(
        {"softmax_cross_entropy",
         {random_tensor({3, 4}, 69, 2)},
         [=](const std::vector<Var>& v) { return softmax_cross_entropy(v[0], Tensor::from_int64({3}, labels)); },
         [=](const Inputs& in) {
             Array probabilities(in[0].shape);
             return reference::softmax_cross_entropy(in[0], labels, probabilities);
         }});
}

void add_token_cases(std::vector<Case>& cases) {
    const Shape x{2, 4, 6};
    cases.push_back({"linear_rows",
                     {random_tensor(x, 91), random_tensor({5, 6}, 92), random_tensor({5}, 93)},
                     [](const std::vector<Var>& v) { return linear(v[0], v[1], v[2]); },
                     [](const Inputs& in) { return reference::token_linear(in[0], in[1], in[2]); }});
    cases.push_back({"tokens",
                     {random_tensor({2, 5, 2, 3}, 94), random_tensor({1, 1, 5}, 95), random_tensor({1, 7, 5}, 96)},
                     [](const std::vector<Var>& v) { return tokens(v[0], v[1], v[2]); },
                     [](const Inputs& in) { return reference::tokens(in[0], in[1], in[2]); }});
    cases.push_back({"first_token",
                     {random_tensor(x, 97)},
                     [](const std::vector<Var>& v) { return first_token(v[0]); },
                     [](const Inputs& in) {
                         Array y(Shape{2, 6});
                         for (int64_t n = 0; n < 2; ++n)
                             for (int64_t f = 0; f < 6; ++f) y.at(n, f) = in[0].at(n, 0, f);
                         return y;
                     }});
    cases.push_back(
        {"layer_norm",
         {random_tensor(x, 98, 2), random_tensor({6}, 99), random_tensor({6}, 100)},
         [](const std::vector<Var>& v) { return layer_norm(v[0], v[1], v[2], 1e-3f); },
         [](const Inputs& in) { return reference::layer_norm(in[0], in[1], in[2], static_cast<double>(1e-3f)); }});
    cases.push_back({"attention",
                     {random_tensor({2, 4, 18}, 101)},
                     [](const std::vector<Var>& v) { return attention(v[0], 3); },
                     [](const Inputs& in) { return reference::attention(in[0], 3); }});
}

void add_reduction_cases(std::vector<Case>& cases) {
    const Shape shape{3, 7};
    const auto total = [](const Array& x) {
        Array y(Shape{1});
        for (const double value : x.values) y.values[0] += value;
        return y;
    };
    cases.push_back({"scale",
                     {random_tensor(shape, 71)},
                     [](const std::vector<Var>& v) { return scale(v[0], -2.5f); },
                     [](const Inputs& in) { return map(in[0], [](double value) { return -2.5 * value; }); }});
    cases.push_back({"sum",
                     {random_tensor(shape, 72)},
                     [](const std::vector<Var>& v) { return sum(v[0]); },
                     [=](const Inputs& in) { return total(in[0]); }});
    cases.push_back({"mean",
                     {random_tensor(shape, 73)},
                     [](const std::vector<Var>& v) { return mean(v[0]); },
                     [=](const Inputs& in) { return map(total(in[0]), [](double value) { return value / 21; }); }});
    cases.push_back({"row_norm",
                     {random_tensor(shape, 74)},
                     [](const std::vector<Var>& v) { return row_norm(v[0]); },
                     [](const Inputs& in) {
                         Array y(Shape{3});
                         for (int64_t n = 0; n < 3; ++n) {
                             for (int64_t i = 0; i < 7; ++i) y.at(n) += in[0].at(n, i) * in[0].at(n, i);
                             y.at(n) = std::sqrt(y.at(n));
                         }
                         return y;
                     }});
}

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    add_convolution_cases(cases);
    add_masked_case(cases);
    add_layer_cases(cases);
    add_token_cases(cases);
    add_reduction_cases(cases);
    add_elementwise_cases(cases);
    for (const bool batch : {true, false})
        for (const bool with_relu : {true, false})
            cases.push_back(
                batchnorm_case(std::string("batchnorm_") + (batch ? "batch" : "running") + (with_relu ? "_relu" : ""),
                               {.batch_statistics = batch, .update_running = false, .relu = with_relu}));
    return cases;
}

class GradCheck : public testing::TestWithParam<Case> {};

TEST_P(GradCheck, AgreesWithTheDirectionalDerivativeOfTheOracle) {
    const Case& check = GetParam();
    std::vector<Var> inputs;
    Inputs at, direction;
    for (std::size_t i = 0; i < check.inputs.size(); ++i) {
        inputs.emplace_back(check.inputs[i].clone(), true);
        at.emplace_back(check.inputs[i]);
        direction.emplace_back(random_tensor(check.inputs[i].shape(), 81 + i));
    }
    Var y = check.library(inputs);
    const Tensor seed = random_tensor(y.shape(), 80);
    y.backward(seed);

    double analytic = 0, size = 0;
    std::size_t terms = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        ASSERT_TRUE(inputs[i].grad().defined()) << "input " << i << " received no gradient";
        const Array grad(inputs[i].grad());
        terms += grad.values.size();
        for (std::size_t j = 0; j < grad.values.size(); ++j) {
            analytic += grad.values[j] * direction[i].values[j];
            size += std::fabs(grad.values[j] * direction[i].values[j]);
        }
    }
    constexpr double h = 1e-6;  // truncation h^2 and rounding eps/h both stay below 1e-9 in double
    const Array seed_array(seed);
    const double numeric = (dot(seed_array, check.oracle(moved(at, direction, h))) -
                            dot(seed_array, check.oracle(moved(at, direction, -h)))) /
                           (2 * h);
    ASSERT_GT(size, 1e-3) << "a degenerate test: the gradient is almost zero";
    const double tolerance = reduction.c * 0x1p-23 * size + 1e-8 * static_cast<double>(terms);
    EXPECT_TRUE(std::fabs(analytic - numeric) <= tolerance)
        << "analytic " << analytic << ", numeric " << numeric << ", tolerance " << tolerance;
}

INSTANTIATE_TEST_SUITE_P(Ops, GradCheck, testing::ValuesIn(all_cases()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace lethe::test
