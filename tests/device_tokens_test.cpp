// What transformers are made of: linear layers over several rows per sample, tokens, layer norm, attention, dropout.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/reference_tokens.h"

namespace lethe::test {
namespace {

using reference::Array;
using testing::HasSubstr;

class DeviceTokensTest : public DeviceTest {
protected:
    void expect_attention_grad(const Shape& qkv, int64_t heads) {
        const Tensor x = random(qkv, 1), g = random({qkv[0], qkv[1], qkv[2] / 3}, 2);
        Tensor probabilities;
        const Tensor y = device().attention(x, heads, &probabilities);
        const Tensor grad = device().attention_grad(g, x, heads, probabilities);
        const auto k = static_cast<double>(std::max(qkv[1], qkv[2] / 3 / heads));
        EXPECT_TRUE(close_to_scale(probabilities.cpu(), from(reference::attention_probabilities(Array(x), heads)),
                                   reduction, k));
        EXPECT_TRUE(close_to_scale(y.cpu(), from(reference::attention(Array(x), heads)), reduction, k));
        EXPECT_TRUE(
            close_to_scale(grad.cpu(), from(reference::attention_grad(Array(g), Array(x), heads)), reduction, k));
    }

    static Tensor from(const Array& array) {
        std::vector<float> values;
        for (const double value : array.values) values.push_back(static_cast<float>(value));
        return Tensor::from_nchw(array.shape, values);
    }
};

struct LinearCase {
    int64_t samples, rows, in, out;
};

TEST_P(DeviceTokensTest, LinearOverSeveralRowsPerSample) {
    for (const auto& [samples, rows, in, out] :
         {LinearCase{3, 5, 16, 32}, {2, 17, 48, 16}, {1, 1, 1, 1}, {2, 3, 7, 33}, {4, 9, 64, 10}, {0, 3, 4, 5}}) {
        SCOPED_TRACE(concat(samples, " x ", rows, " rows, ", in, " to ", out));
        const Tensor x = random({samples, rows, in}, 1), w = random({out, in}, 2, 0.2f), b = random({out}, 3);
        const Tensor g = random({samples, rows, out}, 4, 0.2f);
        const Array xs(x), ws(w), gs(g);
        EXPECT_TRUE(close_to_scale(device().linear(x, w, b).cpu(), from(reference::token_linear(xs, ws, Array(b))),
                                   reduction, static_cast<double>(in)));
        EXPECT_TRUE(close_to_scale(device().linear_grad_x(g, w).cpu(), from(reference::token_linear_grad_x(gs, ws)),
                                   reduction, static_cast<double>(out)));
        EXPECT_TRUE(close_to_scale(device().linear_grad_w(g, x).cpu(), from(reference::token_linear_grad_w(gs, xs)),
                                   reduction, static_cast<double>(samples * rows + 1)));
    }
    const Tensor x = random({2, 3, 4}, 1);
    EXPECT_THAT(error_of([&] {
                    device().linear(x, random({5, 3}, 2), random({5}, 3));
                }),
                HasSubstr("linear: w [5, 3] expects 3 features, x [2, 3, 4] has 4"));
    EXPECT_THAT(error_of([&] {
                    device().linear(random({2, 3, 4, 5}, 1), random({5, 5}, 2), random({5}, 3));
                }),
                HasSubstr("x must be [M,F] or [N,T,F], got [2, 3, 4, 5]"));
}

TEST_P(DeviceTokensTest, TokensAndTheirGradient) {
    for (const Shape& shape : {Shape{2, 8, 3, 2}, Shape{3, 5, 1, 1}, Shape{1, 33, 2, 3}, Shape{0, 4, 2, 2}}) {
        const int64_t count = 1 + shape[2] * shape[3];
        const Tensor patches = random(shape, 1), first = random({1, 1, shape[1]}, 2),
                     position = random({1, count, shape[1]}, 3);
        const Tensor y = device().tokens(patches, first, position);
        EXPECT_TRUE(close(y.to_nchw(), reference::tokens(Array(patches), Array(first), Array(position)), elementwise))
            << shape;
        const Tensor g = random(y.shape(), 4);
        const Array gs(g), grad(device().tokens_grad(g, shape));
        for (int64_t n = 0; n < shape[0]; ++n)
            for (int64_t d = 0; d < shape[1]; ++d)
                for (int64_t p = 1; p < count; ++p)
                    EXPECT_EQ(grad.at(n, d, (p - 1) / shape[3], (p - 1) % shape[3]), gs.at(n, p, d));
    }
    EXPECT_THAT(error_of([&] {
                    device().tokens(random({2, 4, 3, 3}, 1), random({1, 1, 4}, 2), random({1, 9, 4}, 3));
                }),
                HasSubstr("tokens: position must be [1, 10, 4], got [1, 9, 4]"));
}

TEST_P(DeviceTokensTest, TheFirstTokenAndItsGradient) {
    Var x(random({3, 4, 5}, 1), true);
    Var y = first_token(x);
    const Array values(x.value()), taken(y.value());
    EXPECT_EQ(y.shape(), (Shape{3, 5}));
    for (int64_t n = 0; n < 3; ++n)
        for (int64_t f = 0; f < 5; ++f) EXPECT_EQ(taken.at(n, f), values.at(n, 0, f));
    const Tensor g = random({3, 5}, 2);
    y.backward(g);
    const Array grad(x.grad()), gs(g);
    for (int64_t n = 0; n < 3; ++n)
        for (int64_t t = 0; t < 4; ++t)
            for (int64_t f = 0; f < 5; ++f) EXPECT_EQ(grad.at(n, t, f), t == 0 ? gs.at(n, f) : 0.0);
}

TEST_P(DeviceTokensTest, LayerNormAndItsGradients) {
    for (const Shape& shape : {Shape{2, 3, 8}, Shape{1, 1, 1}, Shape{3, 5, 33}, Shape{2, 70, 64}, Shape{1, 2, 257},
                               Shape{0, 2, 4}, Shape{2, 9, 5}}) {
        const Tensor x = random(shape, 1, 3.0f), gamma = random({shape[2]}, 2), beta = random({shape[2]}, 3);
        const Tensor g = random(shape, 4);
        constexpr float eps = 1e-3f;
        LayerNormSaved saved;
        const Tensor y = device().layer_norm(x, gamma, beta, eps, saved);
        const LayerNormGrads grads = device().layer_norm_grad(g, x, gamma, saved, true, true);
        const auto eps_in_double = static_cast<double>(eps);
        const auto expected = reference::layer_norm_grad(Array(g), Array(x), Array(gamma), eps_in_double);
        const auto k = static_cast<double>(shape[2]), rows = static_cast<double>(shape[0] * shape[1] + 1);
        EXPECT_TRUE(close_to_scale(
            y.cpu(), from(reference::layer_norm(Array(x), Array(gamma), Array(beta), eps_in_double)), reduction, k))
            << shape;
        EXPECT_TRUE(close_to_scale(grads.grad_x.cpu(), from(expected.x), reduction, k)) << shape;
        EXPECT_TRUE(close_to_scale(grads.grad_gamma.cpu(), from(expected.gamma), reduction, rows)) << shape;
        EXPECT_TRUE(close_to_scale(grads.grad_beta.cpu(), from(expected.beta), reduction, rows)) << shape;
        EXPECT_FALSE(device().layer_norm_grad(g, x, gamma, saved, false, true).grad_x.defined());
        EXPECT_FALSE(device().layer_norm_grad(g, x, gamma, saved, true, false).grad_gamma.defined());
    }
    LayerNormSaved saved;
    EXPECT_THAT(error_of([&] {
                    device().layer_norm(random({2, 3}, 1), random({4}, 2), random({4}, 3), 1e-6f, saved);
                }),
                HasSubstr("layer_norm: gamma must be [3], got [4]"));
}

// In float32 the mean of squares minus the square of the mean would be nothing but rounding.
TEST_P(DeviceTokensTest, LayerNormOfALargeMean) {
    std::vector<float> values;
    for (int i = 0; i < 64; ++i) values.push_back(10000.0f + static_cast<float>(i % 2));
    LayerNormSaved saved;
    const Tensor y = device().layer_norm(on(Tensor::from_nchw({1, 64}, values)), on(Tensor::full({64}, 1.0f)),
                                         on(Tensor::zeros({64})), 1e-12f, saved);
    const std::vector<float> result = y.to_nchw();
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(result[i], i % 2 == 0 ? -1.0f : 1.0f, 1e-6f);
}

TEST_P(DeviceTokensTest, AttentionAndItsGradient) {
    expect_attention_grad({2, 5, 24}, 2);
    expect_attention_grad({1, 1, 3}, 1);
    expect_attention_grad({3, 7, 45}, 3);
    expect_attention_grad({1, 66, 24}, 2);
    expect_attention_grad({1, 68, 48}, 4);
    EXPECT_EQ(device().attention(random({0, 5, 24}, 1), 2, nullptr).shape(), (Shape{0, 5, 8}));
    EXPECT_THAT(error_of([&] {
                    device().attention(random({2, 5, 24}, 1), 3, nullptr);
                }),
                HasSubstr("attention: qkv must be [N,T,3D] with T > 0 and D a multiple of the 3 heads"));
}

TEST_P(DeviceTokensTest, AttentionKeepsProbabilitiesOnlyWhereAskedTo) {
    const Tensor x = random({2, 6, 24}, 1);
    Tensor probabilities;
    EXPECT_TRUE(identical(device().attention(x, 2, nullptr).cpu(), device().attention(x, 2, &probabilities).cpu()));
}

// exp() of these scores overflows.
TEST_P(DeviceTokensTest, AttentionOfLargeScores) {
    const Tensor x = random({1, 4, 12}, 1, 100.0f);
    const Tensor y = device().attention(x, 1, nullptr);
    EXPECT_TRUE(close_to_scale(y.cpu(), from(reference::attention(Array(x), 1)), network, 12));
    std::vector<float> values(48, 1.0f);
    values[5] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> bad = device().attention(on(Tensor::from_nchw({1, 4, 12}, values)), 1, nullptr).to_nchw();
    for (const float value : bad) EXPECT_TRUE(std::isnan(value));  // a key that is NaN meets every query
}

TEST_P(DeviceTokensTest, RowsMayStartAnywhere) {
    const Tensor all = random({5, 3, 9}, 1), part = all.rows(1, 4), copy = part.clone();
    const Tensor gamma = random({9}, 2);
    LayerNormSaved a, b;
    EXPECT_TRUE(identical(device().layer_norm(part, gamma, gamma, 1e-5f, a).cpu(),
                          device().layer_norm(copy, gamma, gamma, 1e-5f, b).cpu()));
    EXPECT_TRUE(identical(device().layer_norm_grad(part, part, gamma, a, true, true).grad_gamma.cpu(),
                          device().layer_norm_grad(copy, copy, gamma, b, true, true).grad_gamma.cpu()));
    EXPECT_TRUE(identical(device().attention(part, 1, nullptr).cpu(), device().attention(copy, 1, nullptr).cpu()));
}

TEST_P(DeviceTokensTest, ASampleDoesNotDependOnItsBatch) {
    const Tensor x = random({5, 3, 24}, 1), w = random({32, 24}, 2), b = random({32}, 3);
    const Tensor y = device().linear(x, w, b), attended = device().attention(x, 2, nullptr);
    for (int64_t n = 0; n < 5; ++n) {
        EXPECT_TRUE(identical(y.rows(n, n + 1).cpu(), device().linear(x.rows(n, n + 1), w, b).cpu()));
        EXPECT_TRUE(identical(attended.rows(n, n + 1).cpu(), device().attention(x.rows(n, n + 1), 2, nullptr).cpu()));
    }
}

// The same on every device: which are silenced, and by what the others grow.
TEST_P(DeviceTokensTest, DropoutIsAddressed) {
    const Random random(7, Purpose::dropout);
    const Tensor counter = on(Tensor::from_int64({1}, std::vector<int64_t>{3}));
    const std::vector<float> factors =
        device().dropout_factors({3, 101}, {.p = 0.25f, .random = random, .counter = counter}).to_nchw();
    for (uint32_t n = 0; n < 3; ++n)
        for (uint32_t j = 0; j < 101; ++j)
            EXPECT_EQ(factors[n * 101 + j], random.uniform((uint64_t{3} << 24) + n, j) < 0.25f ? 0.0f : 1.0f / 0.75f);
    EXPECT_NEAR(static_cast<double>(std::count(factors.begin(), factors.end(), 0.0f)), 303 * 0.25, 25);
    EXPECT_THAT(error_of([&] { device().dropout_factors({3}, {.p = 1.0f, .random = random, .counter = counter}); }),
                HasSubstr("dropout: p is 1"));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceTokensTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
