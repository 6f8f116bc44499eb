// Convolutions and their gradients on every device, in strict float32, TF32 and bfloat16.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

struct Case {
    int64_t images, channels, height, width, filters, kernel, stride, pad, groups = 1;
};

// Layers of CIFAR and ImageNet ResNets, cut down; and sizes around those that the kernels are made of: channels in
// packs of 8, of 4 and of neither, more than one tile of pixels, of filters and of taps, windows that step over pixels,
// that lie mostly in the padding or are larger than the image, a single pixel.
const std::vector<Case> cases = {
    {3, 3, 12, 12, 16, 3, 1, 1},
    {1, 16, 16, 16, 32, 3, 2, 1},
    {3, 16, 9, 9, 32, 1, 2, 0},
    {2, 3, 17, 15, 16, 7, 2, 3},
    {2, 5, 7, 9, 6, 3, 1, 1},
    {1, 1, 1, 1, 1, 1, 1, 0},
    {2, 1, 2, 2, 3, 3, 1, 1},
    {3, 16, 7, 5, 48, 3, 1, 1},
    {2, 48, 5, 11, 16, 3, 1, 1},
    {1, 33, 8, 8, 70, 5, 3, 2},
    {1, 12, 6, 6, 20, 3, 1, 0},
    {2, 72, 9, 9, 72, 3, 1, 1},
    {1, 8, 3, 2, 4, 5, 1, 2},
    {1, 64, 4, 4, 100, 3, 1, 1},
    {1, 4, 7, 7, 8, 3, 3, 3},
    {300, 8, 1, 1, 8, 1, 1, 0},
    {2, 16, 6, 6, 18, 3, 1, 1},
    // Grouped, depthwise, and depthwise with several filters per channel.
    {2, 16, 7, 9, 16, 3, 1, 1, 16},
    {3, 35, 9, 8, 35, 3, 2, 1, 35},
    {2, 8, 8, 7, 12, 3, 2, 1, 4},
    {1, 6, 5, 5, 18, 3, 1, 0, 6},
    {1, 48, 6, 6, 48, 5, 3, 2, 48},
    {2, 64, 5, 5, 32, 1, 1, 0, 2},
};

std::string describe(const Case& c) {
    return concat(c.images, "x", c.channels, "x", c.height, "x", c.width, " to ", c.filters, ", kernel ", c.kernel,
                  ", stride ", c.stride, ", pad ", c.pad, ", groups ", c.groups);
}

// Factors of size 1 and 0.25/sqrt(K) keep sums of K products below 1, as in tests/conv2d_test.cpp.
float unit(int64_t k) { return 0.25f / std::sqrt(static_cast<float>(k)); }

// On the CPU; `prepare` is what each tensor goes through first.
struct Problem {
    explicit Problem(const Case& c, const std::function<Tensor(const Tensor&)>& prepare = std::identity())
        : op{c.stride, c.pad, c.groups},
          x(prepare(random_tensor({c.images, c.channels, c.height, c.width}, 1))),
          w(prepare(random_tensor({c.filters, c.channels / c.groups, c.kernel, c.kernel}, 2,
                                  unit(std::max(c.channels, c.filters) * c.kernel * c.kernel)))),
          bias(prepare(random_tensor({c.filters}, 3))),
          grad_y(prepare(random_tensor(op.output_shape(x.shape(), w.shape()), 4))),
          residual(prepare(random_tensor(grad_y.shape(), 5))),
          positions(c.images * grad_y.dim(2) * grad_y.dim(3)),
          small_grad_y(prepare(random_tensor(grad_y.shape(), 6, unit(positions)))) {}

    double taps() const { return static_cast<double>(w.numel() / w.dim(0)); }  // products behind an element of y
    double back_taps() const {                                                 // and of grad_x
        return static_cast<double>(w.numel() / w.dim(1) / op.groups);
    }

    Conv2d op;
    Tensor x, w, bias, grad_y, residual;
    int64_t positions;  // products behind an element of grad_w
    Tensor small_grad_y;
};

// The oracle's results for one problem. With `absolute` every factor is replaced by its absolute value: what a relative
// error of each product can add up to.
struct Expected {
    explicit Expected(const Problem& p, bool absolute = false)
        : y(reference::conv2d(array(p.x, absolute), array(p.w, absolute), p.op)),
          grad_x(reference::conv2d_grad_x(array(p.grad_y, absolute), array(p.w, absolute), p.x.shape(), p.op)),
          grad_w(reference::conv2d_grad_w(array(p.small_grad_y, absolute), array(p.x, absolute), p.w.shape(), p.op)),
          grad_w_abs(p.w.shape()) {
        for (int64_t n = 0; n < p.x.dim(0); ++n) {
            const Array one = reference::conv2d_grad_w(array(p.small_grad_y.rows(n, n + 1), absolute),
                                                       array(p.x.rows(n, n + 1), absolute), p.w.shape(), p.op);
            for (std::size_t i = 0; i < one.values.size(); ++i) grad_w_abs.values[i] += std::abs(one.values[i]);
        }
    }

    Array y, grad_x, grad_w, grad_w_abs;

private:
    static Array array(const Tensor& tensor, bool absolute) {
        Array result(tensor);
        if (absolute)
            for (double& value : result.values) value = std::abs(value);
        return result;
    }
};

// relu?(sums + bias + residual?)
Array with_epilogue(Array sums, const Problem& p, bool with_residual, bool relu) {
    const Array bias(p.bias), added(p.residual);
    const int64_t area = sums.shape[2] * sums.shape[3];
    for (std::size_t i = 0; i < sums.values.size(); ++i) {
        sums.values[i] += bias.at(static_cast<int64_t>(i) / area % sums.shape[1]);
        if (with_residual) sums.values[i] += added.values[i];
        if (relu) sums.values[i] = std::max(sums.values[i], 0.0);
    }
    return sums;
}

class DeviceConv2dTest : public DeviceTest {
protected:
    struct Results {
        Tensor y, grad_x, grad_w, grad_w_abs;
    };
    // All four from tensors on the CPU; activations travel as `dtype`.
    Results run(const Problem& p, DType dtype = DType::float32) {
        const auto there = [&](const Tensor& host) {
            return dtype == DType::float32 ? on(host) : device().cast(on(host), dtype);
        };
        const auto back = [&](const Tensor& result) { return device().cast(result, DType::float32).cpu(); };
        const Tensor x = there(p.x), w = on(p.w), g = there(p.grad_y), small = there(p.small_grad_y);
        const Tensor y = device().conv2d(x, w, p.op), grad_x = device().conv2d_grad_x(g, w, p.x.shape(), p.op);
        EXPECT_EQ(y.dtype(), dtype);
        EXPECT_EQ(grad_x.dtype(), dtype);
        return {dtype == DType::float32 ? y.cpu() : back(y), dtype == DType::float32 ? grad_x.cpu() : back(grad_x),
                device().conv2d_grad_w(small, x, p.w.shape(), p.op).cpu(),
                device().conv2d_grad_w_abs(small, x, p.w.shape(), p.op).cpu()};
    }

    // 16-byte accesses need the 1x1 images, whose pixels may begin anywhere.
    Tensor shifted(const Shape& shape, int64_t offset, uint64_t seed) {
        return random({offset + shape.numel()}, seed, 0.1f).rows(offset, offset + shape.numel()).reshape(shape);
    }
};

TEST_P(DeviceConv2dTest, AgreesWithTheOracle) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const Results results = run(p);
        const Expected expected(p);
        const auto positions = static_cast<double>(p.positions);
        EXPECT_TRUE(close(results.y.to_nchw(), expected.y, reduction, p.taps()));
        EXPECT_TRUE(close(results.grad_x.to_nchw(), expected.grad_x, reduction, p.back_taps()));
        EXPECT_TRUE(close(results.grad_w.to_nchw(), expected.grad_w, reduction, positions));
        EXPECT_TRUE(close(results.grad_w_abs.to_nchw(), expected.grad_w_abs, reduction, positions));
    }
}

TEST_P(DeviceConv2dTest, FusedEpilogueIsBiasThenResidualThenRelu) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const Array sums = reference::conv2d(Array(p.x), Array(p.w), p.op);
        for (const bool with_residual : {false, true})
            for (const bool relu : {false, true}) {
                const Tensor y = device().conv2d_fused(on(p.x), on(p.w), on(p.bias),
                                                       with_residual ? on(p.residual) : Tensor(), relu, p.op);
                EXPECT_TRUE(close(y.to_nchw(), with_epilogue(sums, p, with_residual, relu), reduction, p.taps() + 2));
            }
    }
}

TEST_P(DeviceConv2dTest, TensorsMayBeginAnywhere) {
    const Shape images{9, 16, 1, 1}, weights{36, 16, 1, 1}, outputs{9, 36, 1, 1};
    for (const auto& [offset, offset_y] : {std::pair{1, 1}, {2, 0}, {0, 3}, {4, 8}}) {
        SCOPED_TRACE(concat(offset, " and ", offset_y));
        const Tensor x = shifted(images, offset, 1), w = shifted(weights, offset, 2), g = shifted(outputs, offset_y, 3);
        const Tensor bias = random({offset + 36}, 4).rows(offset, offset + 36);
        const Array xs(x), ws(w), gs(g), b(bias);
        Array y = reference::conv2d(xs, ws, {});
        for (int64_t n = 0; n < 9; ++n)
            for (int64_t k = 0; k < 36; ++k) y.at(n, k) += b.at(k) + gs.at(n, k);
        EXPECT_TRUE(close(device().conv2d_fused(x, w, bias, g, false, {}).to_nchw(), y, reduction, 18));
        EXPECT_TRUE(close(device().conv2d_grad_x(g, w, images, {}).to_nchw(),
                          reference::conv2d_grad_x(gs, ws, images, {}), reduction, 36));
        EXPECT_TRUE(close(device().conv2d_grad_w(g, x, weights, {}).to_nchw(),
                          reference::conv2d_grad_w(gs, xs, weights, {}), reduction, 9));
    }
}

TEST_P(DeviceConv2dTest, NoImages) {
    const Tensor x = on(Tensor::empty({0, 8, 4, 4})), w = random({6, 8, 3, 3}, 1), g = on(Tensor::empty({0, 6, 4, 4}));
    const Conv2d op{1, 1};
    EXPECT_EQ(device().conv2d(x, w, op).shape(), g.shape());
    EXPECT_EQ(device().conv2d_grad_x(g, w, x.shape(), op).shape(), x.shape());
    for (const Tensor& grad :
         {device().conv2d_grad_w(g, x, w.shape(), op), device().conv2d_grad_w_abs(g, x, w.shape(), op)})
        for (const float value : grad.to_nchw()) EXPECT_EQ(value, 0.0f);
}

TEST_P(DeviceConv2dTest, TheSameBitsEveryTime) {
    for (const Case& c : {cases[0], cases[7], cases[11], cases[18]}) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const Results first = run(p), second = run(p);
        EXPECT_TRUE(identical(first.y, second.y));
        EXPECT_TRUE(identical(first.grad_x, second.grad_x));
        EXPECT_TRUE(identical(first.grad_w, second.grad_w));
        EXPECT_TRUE(identical(first.grad_w_abs, second.grad_w_abs));
    }
}

TEST_P(DeviceConv2dTest, NanPassesThroughRelu) {
    Problem p({1, 16, 4, 4, 16, 3, 1, 1});
    p.x.fill(std::numeric_limits<float>::quiet_NaN());
    for (const Tensor& residual : {Tensor(), on(p.residual)})
        for (const float value : device().conv2d_fused(on(p.x), on(p.w), on(p.bias), residual, true, p.op).to_nchw())
            EXPECT_TRUE(std::isnan(value));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceConv2dTest, all_devices(), device_name);

// Tensor cores. A sum of K products, each off by `product` of itself and each addition by eps(float32) of what has been
// added up so far, is off by at most (product + K eps) times the sum of the absolute values; what is stored in bfloat16
// is off by another 2^-8 of itself. Oracles see what the device sees: tensors that have been rounded to bfloat16.
class DeviceConv2dTensorCoreTest : public DeviceConv2dTest {
protected:
    // For one scope.
    class With {
    public:
        With(Backend& device, Precision precision) : device_(device) { device_.set_precision(precision); }
        ~With() { device_.set_precision(Precision::strict); }
        With(const With&) = delete;
        With& operator=(const With&) = delete;

    private:
        Backend& device_;
    };

    Tensor rounded(const Tensor& host) {
        return device().cast(device().cast(on(host), DType::bfloat16), DType::float32).cpu();
    }

    // `magnitudes`: the result with absolute values in place of all factors.
    static testing::AssertionResult near(const Tensor& actual, const Array& expected, const Array& magnitudes, double k,
                                         double product, double storage) {
        constexpr double eps = std::numeric_limits<float>::epsilon();
        const double largest = std::ranges::max(magnitudes.values);
        return close(actual.to_nchw(), expected, {storage / eps, (product + k * eps) * largest});
    }

    void check_all(const Problem& p, DType dtype, double product) {
        const Results results = run(p, dtype);
        const Expected expected(p), magnitudes(p, true);
        const double storage = dtype == DType::bfloat16 ? 0x1p-8 : 0.0;
        // Of bfloat16, cuDNN writes weight gradients in bfloat16 too; our own kernels keep them in float32.
        const double storage_w = device().device() == Device::cuda ? storage : 0.0;
        const auto positions = static_cast<double>(p.positions);
        EXPECT_TRUE(near(results.y, expected.y, magnitudes.y, p.taps(), product, storage));
        EXPECT_TRUE(near(results.grad_x, expected.grad_x, magnitudes.grad_x, p.back_taps(), product, storage));
        EXPECT_TRUE(near(results.grad_w, expected.grad_w, magnitudes.grad_w, positions, product, storage_w));
        EXPECT_TRUE(near(results.grad_w_abs, expected.grad_w_abs, magnitudes.grad_w_abs, positions, product, 0.0));
    }
};

// TF32 keeps 10 bits of mantissa: each factor is off by up to 2^-10 where it is cut off, by half of that where rounded.
TEST_P(DeviceConv2dTensorCoreTest, Tf32RoundsFactors) {
    const With tf32(device(), Precision::tf32);
    for (const Case& c : {cases[0], cases[2], cases[7], cases[9], cases[19]}) {
        SCOPED_TRACE(describe(c));
        check_all(Problem(c), DType::float32, 2 * 0x1p-10);
    }
}

// Factors of 7 bits are TF32 numbers already: nothing is lost but in the additions.
TEST_P(DeviceConv2dTensorCoreTest, Tf32AddsInFloat32) {
    const With tf32(device(), Precision::tf32);
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        check_all(Problem(c, [&](const Tensor& host) { return rounded(host); }), DType::float32, 0.0);
    }
}

TEST_P(DeviceConv2dTensorCoreTest, Bf16AddsInFloat32) {
    const With bf16(device(), Precision::bf16);
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        check_all(Problem(c, [&](const Tensor& host) { return rounded(host); }), DType::bfloat16, 0.0);
    }
}

// Weights arrive as float32 and are rounded on the way.
TEST_P(DeviceConv2dTensorCoreTest, Bf16RoundsWeights) {
    const With bf16(device(), Precision::bf16);
    for (const Case& c : {cases[0], cases[3], cases[7], cases[17]}) {
        SCOPED_TRACE(describe(c));
        Problem p(c, [&](const Tensor& host) { return rounded(host); });
        p.w = random_tensor(p.w.shape(), 8, unit(p.w.numel() / std::min(c.channels, c.filters)));
        const Results actual = run(p, DType::bfloat16);
        p.w = rounded(p.w);
        const Results expected = run(p, DType::bfloat16);
        EXPECT_TRUE(identical(actual.y, expected.y));
        EXPECT_TRUE(identical(actual.grad_x, expected.grad_x));
    }
}

TEST_P(DeviceConv2dTensorCoreTest, Bf16FusedEpilogue) {
    const With bf16(device(), Precision::bf16);
    for (const Case& c : {cases[0], cases[4], cases[7], cases[11], cases[17]}) {
        SCOPED_TRACE(describe(c));
        const Problem p(c, [&](const Tensor& host) { return rounded(host); });
        const Expected expected(p), magnitudes(p, true);
        const auto half = [&](const Tensor& host) { return device().cast(on(host), DType::bfloat16); };
        for (const bool relu : {false, true}) {
            const Tensor y = device().conv2d_fused(half(p.x), on(p.w), on(p.bias), half(p.residual), relu, p.op);
            EXPECT_TRUE(near(device().cast(y, DType::float32), with_epilogue(expected.y, p, true, relu),
                             with_epilogue(magnitudes.y, p, true, true), p.taps() + 2, 0.0, 0x1p-8));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceConv2dTensorCoreTest, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
