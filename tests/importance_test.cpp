// Importance by hand where a hand can reach: the bias of the last layer, whose gradient is that of the logits.
#include "unlearn/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;
using Form = ImportanceOptions::Form;

// d norm(f) / d bias for each image: 2 f for the squared norm, f / |f| otherwise.
std::vector<std::vector<double>> bias_gradients(const Tensor& logits, bool squared) {
    std::vector<std::vector<double>> rows;
    const int64_t classes = logits.dim(1);
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        std::vector<double> row;
        double squares = 0;
        for (int64_t j = 0; j < classes; ++j) {
            row.push_back(static_cast<double>(logits.data()[i * classes + j]));
            squares += row.back() * row.back();
        }
        for (double& value : row) value *= squared ? 2 : 1 / std::sqrt(squares);
        rows.push_back(row);
    }
    return rows;
}

class Importance : public testing::Test {
protected:
    void TearDown() override { set_threads(0); }

    std::span<const float> bias(const ImportanceOptions& options) {
        omega = mas_importance(*model, images, options);
        return entry(omega, "linear.bias").values();
    }
    Tensor logits(BatchNormMode mode = BatchNormMode::running) {
        const NoGrad inference;
        return model->forward(images, mode).value();
    }

    std::unique_ptr<Model> model = tiny_model();
    Tensor images = tiny_images(7);
    StateDict omega;
};

TEST_F(Importance, PerSampleIsTheMeanOfAbsoluteGradients) {
    for (const bool squared : {true, false}) {
        std::vector<double> expected(tiny_classes);
        for (const auto& row : bias_gradients(logits(), squared))
            for (std::size_t j = 0; j < row.size(); ++j) expected[j] += std::abs(row[j]) / 7;
        EXPECT_TRUE(close(bias({.form = Form::per_sample, .squared = squared}), expected, network, 7));
    }
}

TEST_F(Importance, BatchMeanIsTheAbsoluteMeanOfEachBatch) {
    for (const bool squared : {true, false})
        for (const bool keep : {false, true}) {
            std::vector<double> expected(tiny_classes), gradient(tiny_classes);
            const auto rows = bias_gradients(logits(), squared);
            for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 6}, {6, 7}}) {
                if (!keep) gradient.assign(tiny_classes, 0);
                const auto count = static_cast<double>(end - begin);
                for (std::size_t j = 0; j < gradient.size(); ++j) {
                    for (std::size_t i = begin; i < end; ++i) gradient[j] += rows[i][j] / count;
                    expected[j] += std::abs(gradient[j]) * count / 7;
                }
            }
            const ImportanceOptions options{
                .form = Form::batch_mean, .squared = squared, .keep_gradients = keep, .batch_size = 3};
            EXPECT_TRUE(close(bias(options), expected, network, 7)) << squared << keep;
        }
}

TEST_F(Importance, BatchStatisticsAreThoseOfTheBatchAndLeaveTheBuffers) {
    std::vector<double> expected(tiny_classes);
    for (const auto& row : bias_gradients(logits(BatchNormMode::batch_no_update), true))
        for (std::size_t j = 0; j < row.size(); ++j) expected[j] += row[j] / 7;
    for (double& value : expected) value = std::abs(value);
    const StateDict before = copy_of(model->state());
    EXPECT_TRUE(close(bias({.form = Form::batch_mean, .batch_statistics = true}), expected, network, 7));
    const StateDict after = model->state();
    for (std::size_t i = 0; i < before.size(); ++i)
        EXPECT_TRUE(identical(after[i].second, before[i].second)) << before[i].first;
}

// |dL/dtheta| of one image by central differences, in the most important element of every parameter tensor. The step
// balances the formula's error (relu kinks included) against float rounding of the norm.
TEST_F(Importance, OneElementOfEveryTensorByDifferences) {
    images = tiny_images(1);
    omega = mas_importance(*model, images, {});
    const auto norm = [&] {
        double squares = 0;
        for (const float z : logits().values()) squares += static_cast<double>(z) * static_cast<double>(z);
        return squares;
    };
    for (auto& [name, var] : model->net().parameters()) {
        const std::span<const float> values = entry(omega, name).values();
        const auto largest = std::max_element(values.begin(), values.end()) - values.begin();
        const float h = 5e-4f, start = var.value().data()[largest];
        const auto norm_at = [&](float value) {
            var.value().mutable_data()[largest] = value;
            return norm();
        };
        const double above = norm_at(start + h), below = norm_at(start - h);
        norm_at(start);
        const double expected = std::abs(above - below) / (2 * static_cast<double>(h));
        EXPECT_GT(expected, 0.05) << name;
        EXPECT_NEAR(static_cast<double>(values[static_cast<std::size_t>(largest)]), expected, 0.1 * expected) << name;
    }
}

TEST_F(Importance, FormsAgreeOnOneImageAndOnParameterNames) {
    images = tiny_images(1);
    const StateDict sample = mas_importance(*model, images, {});
    const StateDict batch = mas_importance(*model, images, {.form = Form::batch_mean});
    const auto parameters = model->net().parameters();
    ASSERT_EQ(sample.size(), parameters.size());
    for (std::size_t i = 0; i < sample.size(); ++i) {
        EXPECT_EQ(sample[i].first, parameters[i].name);
        EXPECT_TRUE(identical(sample[i].second, batch[i].second)) << sample[i].first;
    }
}

TEST_F(Importance, DoesNotDependOnThreadsAndLeavesTheModelAlone) {
    images = tiny_images(37);
    const StateDict before = copy_of(model->state());
    for (const Form form : {Form::per_sample, Form::batch_mean}) {
        set_threads(1);
        const StateDict one = mas_importance(*model, images, {.form = form});
        set_threads(3);
        const StateDict three = mas_importance(*model, images, {.form = form});
        for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(identical(three[i].second, one[i].second));
    }
    const StateDict after = model->state();
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(identical(after[i].second, before[i].second));
    for (const auto& [name, var] : model->net().parameters()) EXPECT_FALSE(var.grad().defined()) << name;
}

TEST_F(Importance, RefusesBadInput) {
    const auto error = [&](const ImportanceOptions& options) {
        return error_of([&] { mas_importance(*model, images, options); });
    };
    EXPECT_THAT(error({.batch_statistics = true}), HasSubstr("per-sample"));
    EXPECT_THAT(error({.keep_gradients = true}), HasSubstr("per-sample"));
    EXPECT_THAT(error({.form = Form::batch_mean, .batch_size = 0}), HasSubstr("batch_size is 0"));
    images = images.rows(0, 0);
    EXPECT_THAT(error({}), HasSubstr("at least one image"));
}

TEST(PenaltyWeights, AreOneMinusMinMaxPerTensor) {
    const StateDict omega{{"a", Tensor::from_nchw({3}, std::vector<float>{2, 6, 3})},
                          {"b", Tensor::from_nchw({2}, std::vector<float>{0, 100})}};
    std::vector<std::string> degenerate;
    const StateDict weights = penalty_weights(omega, &degenerate);
    EXPECT_EQ(weights[0].first, "a");
    EXPECT_TRUE(close(weights[0].second.values(), std::vector<float>{1, 0, 0.75f}, exact));
    EXPECT_TRUE(close(weights[1].second.values(), std::vector<float>{1, 0}, exact));
    EXPECT_TRUE(degenerate.empty());
}

TEST(PenaltyWeights, ATensorWithoutAScaleIsFullyProtected) {
    const StateDict omega{{"gate", Tensor::full({1}, 3)}, {"unused", Tensor::zeros({2, 2})}};
    std::vector<std::string> degenerate;
    const StateDict weights = penalty_weights(omega, &degenerate);
    EXPECT_EQ(degenerate, (std::vector<std::string>{"gate", "unused"}));
    for (const auto& [name, tensor] : weights)
        for (const float value : tensor.values()) EXPECT_EQ(value, 1.0f) << name;
    EXPECT_EQ(penalty_weights(omega).size(), 2u);
}

TEST(PenaltyWeights, RefusesNanNamingTheTensor) {
    Tensor broken = Tensor::zeros({3});
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        broken.mutable_data()[1] = value;
        EXPECT_THAT(error_of([&] { penalty_weights({{"fc", broken}}); }), HasSubstr("'fc'"));
    }
}

}  // namespace
}  // namespace lethe::test
