#include "tensor/random.h"
#include "tests/support/devices.h"

namespace lethe::test {
namespace {

class DeviceRandomTest : public DeviceTest {};

TEST_P(DeviceRandomTest, FillsWithTheNumbersOfRandom) {
    const Random random(0x0123456789abcdef, Purpose::attack);
    for (const Shape& shape : {Shape{1, 1}, Shape{3, 5}, Shape{2, 3, 7, 5}, Shape{5, 4}, Shape{7}, Shape{2, 2049},
                               Shape{0, 4}, Shape{70, 8}})
        for (const uint64_t first_item : {uint64_t{0}, (uint64_t{1} << 32) - 1, ~uint64_t{0} - 100}) {
            Tensor x = Tensor::empty(shape, DType::float32, device().device());
            device().fill_uniform(x, random, first_item, 0.0f, 1.0f);
            const Tensor here = x.cpu();
            for (int64_t i = 0; i < here.numel(); ++i) {
                const int64_t row = here.numel() / shape[0];
                ASSERT_EQ(here.data()[i],
                          random.uniform(first_item + static_cast<uint64_t>(i / row), static_cast<uint32_t>(i % row)))
                    << shape << " at " << i;
            }
        }
}

// Rounded once from the exact value, so the same bits everywhere.
TEST_P(DeviceRandomTest, FillsTheIntervalAskedFor) {
    const Random random(7, Purpose::init);
    const float low = -0.3f, range = 0.7f;
    Tensor x = Tensor::empty({3, 1001}, DType::float32, device().device());
    device().fill_uniform(x, random, 5, low, range);
    const Tensor here = x.cpu();
    for (int64_t i = 0; i < here.numel(); ++i) {
        const auto u =
            static_cast<double>(random.uniform(5 + static_cast<uint64_t>(i / 1001), static_cast<uint32_t>(i % 1001)));
        ASSERT_EQ(here.data()[i], static_cast<float>(static_cast<double>(low) + static_cast<double>(range) * u)) << i;
    }
}

TEST_P(DeviceRandomTest, WritesItsRowsAlone) {
    const Random random(7, Purpose::init);
    Tensor x = this->random({9, 3}, 1);
    const Tensor before = x.clone();
    Tensor part = x.rows(1, 6);  // starts 12 bytes into the memory
    device().fill_uniform(part, random, 2, 0.0f, 1.0f);
    const Tensor here = part.cpu();
    for (int64_t i = 0; i < here.numel(); ++i)
        EXPECT_EQ(here.data()[i], random.uniform(2 + static_cast<uint64_t>(i / 3), static_cast<uint32_t>(i % 3)));
    EXPECT_TRUE(identical(x.rows(0, 1).cpu(), before.rows(0, 1).cpu()));
    EXPECT_TRUE(identical(x.rows(6, 9).cpu(), before.rows(6, 9).cpu()));
}

TEST_P(DeviceRandomTest, IncrementCounts) {
    const int64_t start = (int64_t{1} << 32) - 2;
    Tensor counter = on(Tensor::from_int64({1}, std::vector<int64_t>{start})).clone();
    const uint64_t version = counter.version();
    for (int i = 0; i < 3; ++i) device().increment(counter);
    EXPECT_EQ(counter.cpu().int64_data()[0], start + 3);
    EXPECT_GT(counter.version(), version);
}

TEST_P(DeviceRandomTest, SetScalarsWritesItsValues) {
    const std::vector<float> values = {1.5f, -2.0f, 0.1f, 1e-20f};
    for (std::size_t count = 0; count <= values.size(); ++count) {
        const std::vector<float> some(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
        Tensor all = Tensor::full({6}, 9.0f, device().device());
        Tensor scalars = all.rows(1, 1 + static_cast<int64_t>(count));
        device().set_scalars(scalars, some);
        EXPECT_EQ(scalars.to_nchw(), some);
        EXPECT_EQ(all.to_nchw().front(), 9.0f);
        EXPECT_EQ(all.to_nchw().back(), 9.0f);
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceRandomTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
