// Tensors in a device's memory: copies, guards, uploads, recorded steps and the memory they keep.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/error.h"
#include "tensor/step_graph.h"
#include "tests/support/devices.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DeviceTensor : public DeviceTest {};

TEST_P(DeviceTensor, CopiesKeepEveryBit) {
    const Tensor host = random_tensor({3, 5, 7, 2}, 1);
    const Tensor there = on(host);
    EXPECT_EQ(there.device(), device().device());
    EXPECT_TRUE(identical(there.cpu(), host));
    EXPECT_TRUE(identical(there.clone().cpu(), host));
    EXPECT_TRUE(identical(there.rows(1, 3).cpu(), host.rows(1, 3)));
    EXPECT_EQ(there.to_nchw(), host.to_nchw());
    EXPECT_TRUE(identical(Tensor::zeros({3}, DType::float32, device().device()).cpu(), Tensor::zeros({3})));
    EXPECT_EQ(Tensor::full({1}, 2.5f, device().device()).item(), 2.5f);
    const Tensor labels = Tensor::from_int64({2}, std::vector<int64_t>{7, -1});
    EXPECT_TRUE(identical(on(labels).cpu(), labels));
}

TEST_P(DeviceTensor, ToIsTheSameHandleWhereItIsAlready) {
    const Tensor there = on(random_tensor({2}, 1));
    EXPECT_EQ(there.to(device().device()).storage(), there.storage());
}

TEST_P(DeviceTensor, OperationsRefuseTensorsOfAnotherDevice) {
    if (is_cpu()) GTEST_SKIP() << "the CPU's own tensors";
    const Tensor there = on(random_tensor({2}, 1)), here = random_tensor({2}, 1);
    EXPECT_THAT(error_of([&] { device().binary(Binary::add, there, here); }),
                AllOf(HasSubstr("add: b is on cpu"), HasSubstr(name(device().device()))));
    EXPECT_THAT(error_of([&] { static_cast<void>(there.values()); }), HasSubstr("copy it with cpu() first"));
    EXPECT_THAT(error_of([&] { backend(Device::cpu).scale(there, 1.0f); }), HasSubstr("the operation runs on cpu"));
}

TEST_P(DeviceTensor, UploadsArriveInOrder) {
    const std::unique_ptr<Backend::Uploader> uploader = device().make_uploader();
    Tensor target = Tensor::empty({1000}, DType::float32, device().device());
    std::vector<Tensor> results;
    for (int i = 0; i < 5; ++i) {
        Tensor batch = random_tensor({1000}, static_cast<uint64_t>(i));
        uploader->send(batch, target);
        batch.fill(-1.0f);  // send() has taken the contents
        results.push_back(device().scale(target, 1.0f));
    }
    for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(
            identical(results[static_cast<std::size_t>(i)].cpu(), random_tensor({1000}, static_cast<uint64_t>(i))));
    const Tensor wrong = random_tensor({3}, 1);
    EXPECT_THAT(error_of([&] { uploader->send(wrong, target); }), HasSubstr("cannot"));
}

TEST_P(DeviceTensor, ARecordedStepReadsWhatIsWrittenBetweenRuns) {
    Tensor x = Tensor::full({4}, 1.0f, device().device()), factor = Tensor::full({1}, 1.0f, device().device());
    Tensor total = Tensor::zeros({4}, DType::float32, device().device()), doubled;
    StepGraph graph(device());
    for (int i = 1; i <= 5; ++i) {
        device().fill(x, static_cast<float>(i));
        graph.run([&] {
            doubled = device().scale(x, 2.0f);  // a temporary at an address of its own
            device().axpy(1.0f, device().row_scale(doubled.reshape({1, 4}), factor).reshape({4}), total);
        });
        EXPECT_THAT(doubled.cpu().values(), ElementsAre(2.0f * i, 2.0f * i, 2.0f * i, 2.0f * i));
    }
    EXPECT_THAT(total.cpu().values(), ElementsAre(30, 30, 30, 30));
}

TEST_P(DeviceTensor, ARecordedStepMustNotWaitForTheDevice) {
    if (!device().can_record()) GTEST_SKIP() << "this device runs operations at once";
    const Tensor x = Tensor::full({1}, 1.0f, device().device());
    StepGraph graph(device());
    const auto step = [&] { static_cast<void>(device().scale(x, 2.0f).item()); };
    graph.run(step);  // run itself, it may
    EXPECT_THAT(error_of([&] { graph.run(step); }), HasSubstr("must not wait"));
    // Nothing is left behind: the device computes, and the next recording works.
    EXPECT_EQ(device().scale(x, 3.0f).item(), 3.0f);
    Tensor y;
    StepGraph other(device());
    for (int i = 0; i < 3; ++i) other.run([&] { y = device().scale(x, 4.0f); });
    EXPECT_TRUE(other.recorded());
    EXPECT_EQ(y.item(), 4.0f);
}

TEST_P(DeviceTensor, ARecordedStepTakesNoMemoryWhenItRuns) {
    const Tensor x = random({64}, 1);
    StepGraph graph(device());
    Tensor y;
    const auto run = [&] { graph.run([&] { y = device().scale(device().scale(x, 2.0f), 0.5f); }); };
    for (int i = 0; i < 3; ++i) run();
    const auto before = device().allocator().stats();
    for (int i = 0; i < 4; ++i) run();
    const auto after = device().allocator().stats();
    EXPECT_EQ(after.system_allocations, before.system_allocations);
    if (device().can_record()) {
        EXPECT_EQ(after.hits, before.hits);
    }
    EXPECT_TRUE(identical(y.cpu(), x.cpu()));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceTensor, all_devices(), device_name);

TEST(DeviceTests, RunOnAGpu) {
    if (gpu_problem().empty()) {
        EXPECT_EQ(all_device_names().back(), "cuda");
    } else if (gpu_required()) {
        FAIL() << gpu_problem();
    } else {
        GTEST_SKIP() << "the device tests run on the CPU and the emulator only: " << gpu_problem();
    }
}

TEST(DeviceNames, AreKnown) {
    for (const Device device : {Device::cpu, Device::cuda, Device::emulated})
        EXPECT_EQ(device_named(name(device)), device);
    EXPECT_THAT(error_of([] { device_named("tpu"); }), HasSubstr("unknown device 'tpu'"));
}

}  // namespace
}  // namespace lethe::test
