// Whole networks on every device: logits, gradients, attacks, training and unlearning agree with the CPU's, and are the
// same bits whenever they are run.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops.h"
#include "tensor/step_graph.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_task.h"
#include "unlearn/inversion.h"
#include "unlearn/train.h"

namespace lethe::test {
namespace {

class DeviceNetwork : public DeviceTest {
protected:
    std::unique_ptr<Model> model_here(uint64_t seed = 1) {
        std::unique_ptr<Model> model = tiny_model(seed);
        model->to(device().device());
        return model;
    }
    void TearDown() override {
        if (!IsSkipped()) device().set_precision(Precision::strict);
        DeviceTest::TearDown();
    }
};

StateDict state_on_cpu(const Model& model) {
    StateDict state;
    for (const auto& [name, tensor] : model.state()) state.emplace_back(name, tensor.cpu().clone());
    return state;
}

// Mean cross entropy's gradients for the images and all parameters, with batch statistics.
std::vector<Tensor> gradients(Model& model, const Tensor& images, const std::vector<int64_t>& labels) {
    Var x(images.to(model.device()), true);
    model.net().zero_grad();
    const Tensor there = Tensor::from_int64({static_cast<int64_t>(labels.size())}, labels).to(model.device());
    mean(softmax_cross_entropy(model.forward(x, BatchNormMode::batch_no_update), there)).backward();
    std::vector<Tensor> all{x.grad().cpu().clone()};
    for (const auto& [name, var] : model.net().parameters()) all.push_back(var.grad().cpu().clone());
    return all;
}

TEST_P(DeviceNetwork, LogitsAgreeWithTheCpu) {
    const auto there = model_here();
    const auto here = tiny_model();
    const Tensor images = tiny_images(5);
    EXPECT_TRUE(close(predict(*fold_batchnorm(*there), images), predict(*fold_batchnorm(*here), images), network));
}

TEST_P(DeviceNetwork, GradientsAgreeWithTheCpu) {
    const auto there = model_here();
    const auto here = tiny_model();
    const Tensor images = tiny_images(6);
    const std::vector<int64_t> labels{0, 1, 2, 3, 4, 0};
    const std::vector<Tensor> actual = gradients(*there, images, labels), expected = gradients(*here, images, labels);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_TRUE(close_to_scale(actual[i], expected[i], network)) << "gradient " << i;
}

// A resnet18 with its max pooling, on an image whose size is odd at every stage.
TEST_P(DeviceNetwork, Resnet18AgreesWithTheCpu) {
    ModelSpec spec{.arch = "resnet18", .classes = 3, .stem = "imagenet"};
    Model here(spec, 5), there(spec, 5);
    there.to(device().device());
    const Tensor images = random_tensor({1, 3, 17, 17}, 3);
    EXPECT_TRUE(close(predict(*fold_batchnorm(there), images), predict(*fold_batchnorm(here), images), network));
}

TEST_P(DeviceNetwork, ImportanceAgreesWithTheCpu) {
    const auto there = model_here();
    const auto here = tiny_model();
    const Tensor images = tiny_images(5);
    for (const auto form : {ImportanceOptions::Form::per_sample, ImportanceOptions::Form::batch_mean}) {
        ImportanceOptions options;
        options.form = form;
        options.batch_size = 3;
        const StateDict actual = mas_importance(*there, images, options),
                        expected = mas_importance(*here, images, options);
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < actual.size(); ++i)
            EXPECT_TRUE(close_to_scale(actual[i].second, expected[i].second, network)) << expected[i].first;
    }
}

// Pixels are compared loosely: near a kink of the network, rounding decides on which side a step goes on.
TEST_P(DeviceNetwork, AttackAgreesWithTheCpu) {
    const auto there = model_here();
    const auto here = tiny_model();
    const Tensor images = tiny_images(5);
    const std::vector<int64_t> targets{4, 3, 2, 1, 0};
    for (const auto init : {PgdOptions::Init::none, PgdOptions::Init::uniform_box}) {
        PgdOptions options;
        options.steps = 6;
        options.init = init;
        const PgdResult actual = pgd(*fold_batchnorm(*there), images, targets, options);
        const PgdResult expected = pgd(*fold_batchnorm(*here), images, targets, options);
        EXPECT_TRUE(close(actual.images, expected.images, trajectory));
        for (std::size_t i = 0; i < targets.size(); ++i)
            EXPECT_EQ(actual.report[i].success, expected.report[i].success);
        EXPECT_TRUE(identical(pgd(*fold_batchnorm(*there), images, targets, options).images, actual.images));
    }
}

// An attack that stops at success runs step by step, so it never records; both ways make the same steps.
TEST_P(DeviceNetwork, RecordedStepsAreTheStepsThemselves) {
    const auto model = model_here();
    const auto twin = fold_batchnorm(*model);
    const Tensor clean = on(tiny_images(3)), labels = on(Tensor::from_int64({3}, std::vector<int64_t>{1, 2, 3}));
    const Tensor seed = Tensor::full({3}, 1.0f, device().device());
    const auto run = [&](bool recorded) {
        Tensor x_adv = clean.clone();
        const auto step = [&] {
            Var x(x_adv, true);
            softmax_cross_entropy(twin->forward(x, BatchNormMode::running), labels).backward(seed);
            device().pgd_step(x_adv, clean, x.grad(), PgdStep{});
        };
        StepGraph graph(device());
        for (int i = 0; i < 7; ++i) {
            if (recorded)
                graph.run(step);
            else
                step();
        }
        EXPECT_EQ(graph.recorded(), recorded && device().can_record());
        return x_adv.cpu();
    };
    EXPECT_TRUE(identical(run(true), run(false)));
}

// 19 images of 8x8 noise: an epoch of batches of 8 ends with one of 3, which is recorded by itself.
Dataset tiny_dataset() {
    Dataset data;
    data.height = data.width = tiny_side;
    data.class_names = {"a", "b", "c", "d", "e"};
    const Random random(11, Purpose::synthetic);
    for (uint64_t i = 0; i < 19; ++i) {
        data.labels.push_back(static_cast<int64_t>(i % tiny_classes));
        for (uint32_t j = 0; j < 3 * tiny_side * tiny_side; ++j)
            data.pixels.push_back(static_cast<uint8_t>(random.bits(i, j) & 255));
    }
    return data;
}

// "sgd", or "adamw" with everything else that a recipe can have.
StateDict trained(Model& model, const std::string& optimizer) {
    TrainOptions options;
    options.epochs = 3;
    options.batch_size = 8;
    options.optimizer = {.name = optimizer, .lr = optimizer == "adamw" ? 1e-3f : 0.02f, .weight_decay = 1e-3f};
    options.schedule.warmup_steps = 2;
    if (optimizer == "adamw") {
        options.schedule = {.name = "onecycle"};
        options.optimizer.weight_decay = 0.5f;
        options.optimizer.decay_all = false;
        options.optimizer.clip_norm = 0.5f;
        options.label_smoothing = 0.1f;
        options.ema = 0.5f;
    }
    const Dataset data = tiny_dataset();
    Training training(model, {.train = data, .evaluation = &data}, options);
    while (!training.done()) training.step();
    return state_on_cpu(training.result());
}

void expect_moved_alike(const StateDict& actual, const StateDict& expected, const StateDict& before, double share) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const bool moved = !identical(expected[i].second, before[i].second);
        if (moved && actual[i].second.dtype() == DType::float32) {
            EXPECT_TRUE(moved_alike(actual[i].second, expected[i].second, before[i].second, share)) << actual[i].first;
        } else {
            EXPECT_TRUE(identical(actual[i].second, expected[i].second)) << actual[i].first;
        }
    }
}

void expect_identical(const StateDict& actual, const StateDict& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_TRUE(identical(actual[i].second, expected[i].second)) << actual[i].first;
}

// Rounding decides a few relus differently, and Adam's first steps turn the sign of a tiny gradient into a full step.
constexpr double sgd_share = 0.01, adam_share = 0.05;

TEST_P(DeviceNetwork, TrainingAgreesWithTheCpuAndIsReproducible) {
    for (const std::string optimizer : {"sgd", "adamw"}) {
        const auto here = tiny_model(), there = model_here(), again = model_here();
        const StateDict before = state_on_cpu(*here), actual = trained(*there, optimizer);
        expect_moved_alike(actual, trained(*here, optimizer), before, optimizer == "sgd" ? sgd_share : adam_share);
        expect_identical(trained(*again, optimizer), actual);
    }
}

// Batches of unequal sizes, every term of the loss, the fused penalty.
TEST_P(DeviceNetwork, UnlearningAgreesWithTheCpuAndIsReproducible) {
    const auto here = tiny_model();
    const ForgetTask task = tiny_task(*here);
    const StateDict before = state_on_cpu(*here);
    for (const std::string method : {"neggrad", "adv+imp", "relabel"}) {
        const auto run = [&](std::unique_ptr<Model> model) {
            UnlearnOptions options = tiny_options();
            options.stop.max_steps = 10;
            options.stop.in_a_row = 11;
            const UnlearnResult result = unlearn(*model, find_method(method), task, options);
            EXPECT_EQ(result.steps, 10);
            return state_on_cpu(*model);
        };
        const StateDict actual = run(model_here());
        expect_moved_alike(actual, run(tiny_model()), before, sgd_share);
        if (method == "adv+imp") expect_identical(run(model_here()), actual);
    }
}

TEST_P(DeviceNetwork, DistanceOfStatisticsAgreesWithTheCpu) {
    const Tensor x = random_tensor({3, 5, 4, 6}, 2), m = random_tensor({5}, 3), v = Tensor::full({5}, 0.7f);
    const Device where = device().device();
    Var here(x, true), there(x.to(where), true);
    Var a = statistics_distance(here, m, v), b = statistics_distance(there, m.to(where), v.to(where));
    EXPECT_TRUE(close(b.value().cpu(), a.value(), reduction, 72));
    a.backward();
    b.backward();
    EXPECT_TRUE(close(there.grad().cpu(), here.grad(), reduction, 72));
}

TEST_P(DeviceNetwork, InversionAgreesWithTheCpu) {
    const InversionOptions options{.images = 5, .steps = 2};
    const Inversion there = invert(*model_here(), tiny_images(4), options);
    const Inversion here = invert(*tiny_model(), tiny_images(4), options);
    // Adam's first steps have the length of lr whatever the gradient's, so a gradient near 0 may point either way.
    int64_t apart = 0;
    for (int64_t i = 0; i < here.images.numel(); ++i)
        apart += std::abs(here.images.data()[i] - there.images.data()[i]) > 1e-3f ? 1 : 0;
    EXPECT_LE(apart, here.images.numel() / 100);
    EXPECT_NEAR(there.statistics, here.statistics, 1e-3 * here.statistics);
    EXPECT_NEAR(there.loss, here.loss, 1e-3 * here.loss);
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceNetwork, all_devices(), device_name);

class GpuNetwork : public DeviceNetwork {};

// Each weight and activation carries a relative error of up to 2^-8, which grows as the square root of the layers.
TEST_P(GpuNetwork, LowPrecisionStaysNearStrict) {
    const auto there = model_here();
    const Tensor images = tiny_images(5);
    const Tensor strict = predict(*fold_batchnorm(*there), images);
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
        device().set_precision(precision);
        const Tensor logits = predict(*fold_batchnorm(*there), images);
        const double eps = precision == Precision::tf32 ? std::ldexp(1.0, -10) : std::ldexp(1.0, -8);
        double largest = 0;
        for (const float value : strict.values()) largest = std::max(largest, double{std::abs(value)});
        for (int64_t i = 0; i < strict.numel(); ++i)
            EXPECT_NEAR(logits.data()[i], strict.data()[i], 8 * eps * largest) << name(precision) << " logit " << i;
        EXPECT_FALSE(static_cast<bool>(identical(logits, strict))) << name(precision);
    }
}

// bf16 keeps parameters, statistics, gradients of parameters and the optimizer in float32: training goes on as before.
TEST_P(GpuNetwork, Bf16Trains) {
    const auto strict = model_here(), half = model_here();
    const StateDict before = state_on_cpu(*strict), expected = trained(*strict, "sgd");
    device().set_precision(Precision::bf16);
    const StateDict actual = trained(*half, "sgd");
    for (std::size_t i = 0; i < actual.size(); ++i) {
        EXPECT_EQ(actual[i].second.dtype(), expected[i].second.dtype());
        if (actual[i].first != "linear.weight") continue;
        EXPECT_TRUE(moved_alike(actual[i].second, expected[i].second, before[i].second, 0.2));
    }
}

INSTANTIATE_TEST_SUITE_P(Device, GpuNetwork, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
