// Relearn time: counted again here with the plainest loop, and properties that a wrong one would not have.
#include "unlearn/metrics/relearn.h"

#include <gmock/gmock.h>

#include "autograd/ops.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

struct Forgotten {
    std::unique_ptr<Model> model = tiny_model();
    Tensor images = tiny_images(4);
    std::vector<int64_t> labels = predictions(*model, images);

    Forgotten() {  // labels that the model does not give
        for (int64_t& label : labels) label = (label + 1) % tiny_classes;
    }
};

int64_t right(const Model& model, const Forgotten& task) {
    const std::vector<int64_t> now = predictions(model, task.images);
    int64_t count = 0;
    for (std::size_t i = 0; i < now.size(); ++i) count += now[i] == task.labels[i] ? 1 : 0;
    return count;
}

// w <- w - lr g over the whole of D_f, BatchNorm's statistics untouched, until all four are right.
TEST(Relearn, CountsThePlainestLoop) {
    const Forgotten task;
    const auto model = task.model->clone();
    const float lr = 0.01f;
    std::vector<int64_t> expected{right(*model, task)};
    EXPECT_EQ(expected[0], 0);
    while (expected.back() < 4 && expected.size() < 200) {
        model->net().zero_grad();
        const Var loss = softmax_cross_entropy(model->forward(task.images, BatchNormMode::running),
                                               Tensor::from_int64({4}, task.labels));
        mean(loss).backward();
        for (const auto& [name, var] : model->net().parameters()) {
            Tensor value = var.value();
            float* weights = value.mutable_data();
            for (int64_t i = 0; i < value.numel(); ++i) weights[i] -= lr * var.grad().data()[i];
        }
        expected.push_back(right(*model, task));
    }
    RelearnOptions options;
    options.optimizer.lr = lr;
    const Relearning result = relearn(*task.model, task.images, task.labels, 4, options);
    EXPECT_EQ(result.correct, expected);
    EXPECT_EQ(result.steps, static_cast<int64_t>(expected.size()) - 1);
    EXPECT_GT(result.steps, 1);
    EXPECT_TRUE(result.reached && result.finite);
    EXPECT_EQ(right(*task.model, task), 0) << "the model itself has changed";
}

TEST(Relearn, WhatIsKnownTakesNoStep) {
    const Forgotten task;
    const Relearning result = relearn(*task.model, task.images, predictions(*task.model, task.images), 4);
    EXPECT_EQ(result.steps, 0);
    EXPECT_TRUE(result.reached);
}

TEST(Relearn, ALowerGoalIsMetSooner) {
    const Forgotten task;
    RelearnOptions options;
    options.optimizer.lr = 0.01f;
    const Relearning whole = relearn(*task.model, task.images, task.labels, 4, options);
    const Relearning one = relearn(*task.model, task.images, task.labels, 1, options);
    EXPECT_LE(one.steps, whole.steps);
    EXPECT_GE(one.correct.back(), 1);
    EXPECT_LT(one.correct.front(), 1);
}

TEST(Relearn, TheCapSaysThatItWasNotReached) {
    const Forgotten task;
    RelearnOptions options{.max_steps = 3};
    options.optimizer.lr = 1e-7f;
    const Relearning result = relearn(*task.model, task.images, task.labels, 4, options);
    EXPECT_EQ(result.steps, 3);
    EXPECT_FALSE(result.reached);
    EXPECT_TRUE(result.finite);
    EXPECT_EQ(result.correct.size(), 4u);
}

// Against a loop over all parameters that applies the last two gradients only.
TEST(Relearn, LastLayerAloneMovesNothingElse) {
    const Forgotten task;
    const auto last = last_layer(*task.model);
    ASSERT_EQ(last.size(), 2u);
    EXPECT_EQ(last[0].name, "linear.weight");
    EXPECT_EQ(last[1].name, "linear.bias");
    RelearnOptions options{.last_layer_only = true};
    options.optimizer.lr = 0.05f;
    const Relearning head = relearn(*task.model, task.images, task.labels, 4, options);
    EXPECT_TRUE(head.reached);
    // The same as a training of all in which the others' gradients are not applied.
    const auto model = task.model->clone();
    std::vector<int64_t> expected{0};
    while (expected.back() < 4) {
        model->net().zero_grad();
        mean(softmax_cross_entropy(model->forward(task.images, BatchNormMode::running),
                                   Tensor::from_int64({4}, task.labels)))
            .backward();
        for (const auto& [name, var] : last_layer(*model)) {
            Tensor value = var.value();
            float* weights = value.mutable_data();
            for (int64_t i = 0; i < value.numel(); ++i) weights[i] -= 0.05f * var.grad().data()[i];
        }
        expected.push_back(right(*model, task));
    }
    EXPECT_EQ(head.correct, expected);
}

TEST(Relearn, DivergenceIsNoRelearning) {
    const Forgotten task;
    RelearnOptions options;
    options.optimizer.lr = 1e30f;
    const Relearning result = relearn(*task.model, task.images, task.labels, 4, options);
    EXPECT_FALSE(result.finite);
    EXPECT_FALSE(result.reached);
}

TEST(Relearn, IsTheSameForAnyNumberOfThreads) {
    const Forgotten task;
    std::vector<int64_t> correct[2];
    for (const int count : {1, 3}) {
        set_threads(count);
        RelearnOptions options{.batch_size = 3};
        options.optimizer.lr = 0.01f;
        correct[count / 2] = relearn(*task.model, task.images, task.labels, 4, options).correct;
    }
    set_threads(0);
    EXPECT_EQ(correct[0], correct[1]);
}

TEST(Relearn, RefusesWhatIsWrong) {
    const Forgotten task;
    EXPECT_THAT(error_of([&] { relearn(*task.model, task.images, task.labels, 5); }), HasSubstr("1 to 4"));
    EXPECT_THAT(error_of([&] { relearn(*task.model, task.images, task.labels, 4, {.max_steps = 0}); }),
                HasSubstr("max_steps"));
    EXPECT_THAT(error_of([&] { relearn(*task.model, task.images.rows(0, 2), task.labels, 2); }), HasSubstr("4 labels"));
}

}  // namespace
}  // namespace lethe::test
