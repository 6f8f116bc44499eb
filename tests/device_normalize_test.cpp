#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

const std::vector<Shape> shapes = {{1, 1, 1, 1}, {2, 3, 32, 32}, {3, 3, 5, 7},
                                   {2, 5, 3, 3}, {1, 16, 9, 9},  {2, 33, 2, 3}};

Array normalized(const Array& x, const Array& mean, const Array& std) {
    Array y(x.shape);
    for (int64_t n = 0; n < x.shape[0]; ++n)
        for (int64_t c = 0; c < x.shape[1]; ++c)
            for (int64_t h = 0; h < x.shape[2]; ++h)
                for (int64_t w = 0; w < x.shape[3]; ++w) y.at(n, c, h, w) = (x.at(n, c, h, w) - mean.at(c)) / std.at(c);
    return y;
}

// Away from zero, of both signs.
Tensor some_std(int64_t channels) {
    std::vector<float> values;
    for (int64_t c = 0; c < channels; ++c) values.push_back(0.2f + 0.1f * static_cast<float>(c % 7));
    return Tensor::from_nchw({channels}, values);
}

class DeviceNormalizeTest : public DeviceTest {};

TEST_P(DeviceNormalizeTest, AgreesWithTheOracle) {
    for (const Shape& shape : shapes) {
        const Tensor x = random(shape, 1), mean = random({shape[1]}, 2), std = on(some_std(shape[1]));
        EXPECT_TRUE(close(device().normalize(x, mean, std).to_nchw(), normalized(Array(x), Array(mean), Array(std)),
                          elementwise));
        EXPECT_TRUE(close(device().normalize_grad(x, std).to_nchw(),
                          normalized(Array(x), Array(Shape{shape[1]}), Array(std)), elementwise));
    }
}

// Rows of images whose sizes are no multiple of 16 bytes.
TEST_P(DeviceNormalizeTest, AnImageDoesNotDependOnItsBatch) {
    const Tensor x = random({4, 3, 3, 5}, 1), mean = random({3}, 2), std = on(some_std(3));
    const Tensor all = device().normalize(x, mean, std).cpu();
    for (int64_t n = 0; n < 4; ++n)
        EXPECT_TRUE(identical(device().normalize(x.rows(n, n + 1), mean, std).cpu(), all.rows(n, n + 1)));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceNormalizeTest, all_devices(), device_name);

class DeviceNormalizeBf16Test : public DeviceTest {};

TEST_P(DeviceNormalizeBf16Test, LeavesFloat32AndComesBack) {
    for (const Shape& shape : shapes) {
        const Tensor x = random(shape, 1), mean = random({shape[1]}, 2), std = on(some_std(shape[1]));
        const Tensor expected = device().normalize(x, mean, std);
        device().set_precision(Precision::bf16);
        const Tensor y = device().normalize(x, mean, std);
        device().set_precision(Precision::strict);
        ASSERT_EQ(y.dtype(), DType::bfloat16);
        const Tensor rounded = device().cast(device().cast(expected, DType::bfloat16), DType::float32);
        EXPECT_TRUE(identical(device().cast(y, DType::float32).cpu(), rounded.cpu()));
        const Tensor grad_x = device().normalize_grad(y, std);
        ASSERT_EQ(grad_x.dtype(), DType::float32);
        EXPECT_TRUE(identical(grad_x.cpu(), device().normalize_grad(rounded, std).cpu()));
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceNormalizeBf16Test, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
