// The published methods that others are compared with: what a step does to the last layer's bias, worked out from the
// logits. With plain SGD of rate lr a term w * mean -sum_c t_c log p_c moves that bias by -lr w mean(p - t).
#include "unlearn/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "autograd/ops.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"
#include "tests/support/tiny_task.h"
#include "unlearn/dampening.h"
#include "unlearn/method_step.h"
#include "unlearn/weight_subset.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;
using Rows = std::vector<std::vector<double>>;

Rows softmax(const Tensor& logits) {
    Rows rows;
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        std::vector<double> row;
        double sum = 0;
        for (int64_t c = 0; c < logits.dim(1); ++c)
            sum += row.emplace_back(std::exp(static_cast<double>(logits.data()[i * logits.dim(1) + c])));
        for (double& value : row) value /= sum;
        rows.push_back(row);
    }
    return rows;
}

Rows one_hot(std::span<const int64_t> labels) {
    Rows rows(labels.size(), std::vector<double>(tiny_classes));
    for (std::size_t i = 0; i < labels.size(); ++i) rows[i][static_cast<std::size_t>(labels[i])] = 1;
    return rows;
}

class Comparison : public testing::Test {
protected:
    // The weights before each step and after the last one.
    void run(const std::string& method, int64_t steps) {
        options.optimizer = {.name = "sgd", .lr = 0.05f, .momentum = 0, .weight_decay = 0};
        options.stop.in_a_row = 1000;
        options.stop.max_steps = options.compare.fixed_steps = steps;
        weights = {model->clone()};
        const auto own = model->clone();
        unlearn(*own, find_method(method), task, options, [&](const StepTrace& trace, const auto&) {
            traces.push_back(trace);
            weights.push_back(own->clone());
            return true;
        });
        if (static_cast<int64_t>(traces.size()) < steps) ADD_FAILURE() << method << " diverged";
        weights.resize(static_cast<std::size_t>(steps) + 1, weights.back());
    }
    Rows probabilities(const Model& of, const Tensor& images) const {
        return softmax(predict(*fold_batchnorm(of), images));
    }
    static std::vector<float> bias(const Model& of) {
        const Tensor tensor = entry(of.state(), "linear.bias");
        return {tensor.values().begin(), tensor.values().end()};
    }
    // Adds w * mean(p - t) of the images to `pull`, p as before step `step`.
    void add(std::size_t step, const Tensor& images, const Rows& target, double weight) {
        const Rows p = probabilities(*weights[step], images);
        for (std::size_t i = 0; i < p.size(); ++i)
            for (std::size_t c = 0; c < pull.size(); ++c)
                pull[c] += weight * (p[i][c] - target[i][c]) / static_cast<double>(p.size());
    }
    void add(std::size_t step, const StepBatch& batch, double weight) {
        add(step, batch.images, one_hot(batch.labels.int64_values()), weight);
    }
    void expect_moved(std::size_t step) {
        std::vector<double> expected;
        const std::vector<float> from = bias(*weights[step]);
        for (std::size_t c = 0; c < pull.size(); ++c)
            expected.push_back(static_cast<double>(from[c]) - static_cast<double>(options.optimizer.lr) * pull[c]);
        EXPECT_TRUE(close(std::span<const float>(bias(*weights[step + 1])), expected, elementwise, 64)) << step;
        pull.assign(tiny_classes, 0);
    }
    StepBatch forget(int64_t begin, int64_t end) const { return forget(begin, end, task.labels); }
    StepBatch forget(int64_t begin, int64_t end, const std::vector<int64_t>& labels) const {
        return slice_batch(task.images, labels, begin, end);
    }
    StepBatch retained(int64_t step) const {
        return RetainedBatches(task.retained, options.compare.retain_batch, options.seed).batch(step);
    }

    std::unique_ptr<Model> model = tiny_model();
    ForgetTask task = tiny_task(*model);
    UnlearnOptions options = tiny_options();
    std::vector<std::shared_ptr<Model>> weights;
    std::vector<StepTrace> traces;
    std::vector<double> pull = std::vector<double>(tiny_classes);
};

TEST_F(Comparison, OracleAndNegGradPlusWeighTheTwoSets) {
    options.compare.beta = 0.75f;
    for (const auto& [name, retain, forgotten] : {std::tuple{"oracle", 1.0, 1.0}, {"neggrad+", 0.75, 0.25}}) {
        run(name, 2);
        add(0, forget(0, 3), -forgotten);
        add(0, retained(0), retain);
        expect_moved(0);
        add(1, forget(3, 4), -forgotten);
        add(1, retained(1), retain);
        expect_moved(1);
    }
    const StepBatch batch = retained(0);
    const Tensor logits = predict(*fold_batchnorm(*model), batch.images);
    EXPECT_NEAR(traces[0].retain_loss, evaluate_logits(logits, batch.labels.int64_values()).loss, 1e-5);
}

TEST_F(Comparison, FinetuneSeesOnlyTheRetained) {
    run("finetune", 4);
    for (const std::size_t step : {0, 1, 2, 3}) {  // three batches a pass
        add(step, retained(static_cast<int64_t>(step)), 1);
        expect_moved(step);
    }
}

TEST_F(Comparison, RandomLabelsAreOthersAndStay) {
    const std::vector<int64_t> labels = draw_targets(task.labels, 1, tiny_classes, false, options.seed);
    for (std::size_t i = 0; i < labels.size(); ++i) EXPECT_NE(labels[i], task.labels[i]);
    run("random-label", 3);
    add(0, forget(0, 3, labels), 1);
    expect_moved(0);
    add(2, forget(0, 3, labels), 1);
    expect_moved(2);
}

// Weights outside the mask keep their bits under momentum and weight decay; those inside move as without it.
TEST_F(Comparison, SalunMovesTheSalientWeightsOnly) {
    options.compare.salient_share = 0.3f;
    const StateDict mask = salient_weights(*model, task.images, task.labels, 0.3f, 3);
    const std::vector<int64_t> labels = draw_targets(task.labels, 1, tiny_classes, false, options.seed);
    for (const bool retain : {false, true}) {
        run(retain ? "salun+retain" : "salun", 1);
        add(0, forget(0, 3, labels), 1);
        if (retain) add(0, retained(0), 1);
        const Tensor moves = entry(mask, "linear.bias");
        for (std::size_t c = 0; c < pull.size(); ++c) pull[c] *= static_cast<double>(moves.data()[c]);
        expect_moved(0);
    }
    options.optimizer.momentum = 0.9f;
    options.optimizer.weight_decay = 0.1f;
    options.optimizer.decay_all = options.switches.decay_all = true;
    options.stop.max_steps = 4;
    const auto own = model->clone();
    unlearn(*own, find_method("salun"), task, options);
    int64_t salient = 0, all = 0, moved = 0;
    for (const auto& [name, var] : own->net().parameters()) {
        const Tensor before = entry(model->state(), name), may = entry(mask, name);
        for (int64_t i = 0; i < may.numel(); ++i) {
            const bool differs = var.value().data()[i] != before.data()[i];
            EXPECT_TRUE(may.data()[i] != 0 || !differs) << name << " " << i;
            salient += may.data()[i] != 0 ? 1 : 0;
            moved += differs ? 1 : 0;
        }
        all += may.numel();
    }
    EXPECT_EQ(salient, std::llround(0.3f * static_cast<float>(all)));
    EXPECT_GT(moved, salient * 9 / 10);
}

// The mask's threshold, on the last bias: |mean(p - onehot)| of a weight in the mask is at least that of one outside.
TEST_F(Comparison, TheMaskTakesTheLargestGradients) {
    const StateDict mask = salient_weights(*model, task.images, task.labels, 0.5f, 3);
    const auto twin = model->clone();
    const Tensor labels = Tensor::from_int64({4}, task.labels);
    mean(softmax_cross_entropy(twin->forward(task.images, BatchNormMode::running), labels)).backward();
    float least_inside = 1e30f, most_outside = 0;
    for (const auto& [name, var] : twin->net().parameters())
        for (int64_t i = 0; i < var.value().numel(); ++i) {
            const float magnitude = std::abs(var.grad().data()[i]);
            if (entry(mask, name).data()[i] != 0)
                least_inside = std::min(least_inside, magnitude);
            else
                most_outside = std::max(most_outside, magnitude);
        }
    EXPECT_GE(least_inside, most_outside * (1 - 1e-3f));
    EXPECT_GT(least_inside, 0);
}

TEST_F(Comparison, BoundaryTakesTheClassBehindAStepOfTheGradientsSign) {
    options.compare.boundary_eps = 0.2f;
    const auto twin = fold_batchnorm(*model);
    const Var images(task.images.clone(), true);
    sum(softmax_cross_entropy(twin->forward(images, BatchNormMode::running), Tensor::from_int64({4}, task.labels)))
        .backward();
    Tensor moved = task.images.clone();
    for (int64_t i = 0; i < moved.numel(); ++i) {
        const float gradient = images.grad().data()[i];
        moved.mutable_data()[i] =
            std::clamp(moved.data()[i] + 0.2f * static_cast<float>((gradient > 0) - (gradient < 0)), 0.0f, 1.0f);
    }
    const Tensor logits = predict(*twin, moved);
    std::vector<int64_t> labels;
    for (std::size_t i = 0; i < task.labels.size(); ++i) {
        std::map<float, int64_t> ranking;
        for (int64_t c = 0; c < tiny_classes; ++c)
            if (c != task.labels[i]) ranking[logits.data()[static_cast<int64_t>(i) * tiny_classes + c]] = c;
        labels.push_back(ranking.rbegin()->second);
    }
    run("boundary", 1);
    add(0, forget(0, 3, labels), 1);
    expect_moved(0);
}

TEST_F(Comparison, TheBadTeacherIsFollowedOnTheForgottenTheGoodOneElsewhere) {
    run("bad-teacher", 3);
    const auto incompetent = untrained(*model, options.seed);
    const auto teach = [&](std::size_t step, const StepBatch& gone, const StepBatch& kept) {
        add(step, gone.images, probabilities(*incompetent, gone.images), 1);
        add(step, kept.images, probabilities(*model, kept.images), 1);
        expect_moved(step);
    };
    teach(0, forget(0, 3), retained(0));
    teach(1, forget(3, 4), retained(1));
    teach(2, forget(0, 3), retained(2));
    // Another network than the one that training under the same seed would begin with.
    EXPECT_FALSE(identical(entry(incompetent->state(), "linear.weight"),
                           entry(Model(model->spec(), options.seed).state(), "linear.weight")));
}

// Two batches of D_f and two of D_r make a round; after two rounds only D_r is left.
TEST_F(Comparison, ScrubAlternatesAndEndsOnTheRetained) {
    options.compare.scrub_alpha = 0.5f;
    options.compare.scrub_gamma = 0.25f;
    run("scrub", 11);
    const auto disobey = [&](std::size_t step, const StepBatch& batch) {
        add(step, batch.images, probabilities(*model, batch.images), -1);
        expect_moved(step);
        EXPECT_EQ(traces[step].retain_loss, 0);
    };
    const auto obey = [&](std::size_t step, const StepBatch& batch) {
        add(step, batch.images, probabilities(*model, batch.images), 0.5);
        add(step, batch, 0.25);
        expect_moved(step);
        EXPECT_EQ(traces[step].forget_loss, 0);
    };
    disobey(0, forget(0, 3));
    disobey(1, forget(3, 4));
    obey(2, retained(0));
    obey(3, retained(1));
    disobey(4, forget(0, 3));
    disobey(5, forget(3, 4));
    for (std::size_t step = 6; step < 11; ++step) obey(step, retained(static_cast<int64_t>(step) - 4));
    EXPECT_GT(traces[5].distillation, 0);
}

TEST_F(Comparison, LastLayersTrainAndTheOthersStay) {
    options.switches.bn_train_steps = true;
    for (const auto& [k, first_moving] : {std::pair{1, "linear.weight"}, {2, "layer3.0.conv2.weight"}}) {
        options.compare.last_layers = k;
        run("cf-k", 2);
        const StateDict before = model->state(), after = weights.back()->state();
        bool moves = false;
        for (std::size_t i = 0; i < before.size(); ++i) {
            moves = moves || before[i].first == first_moving;
            EXPECT_NE(static_cast<bool>(identical(before[i].second, after[i].second)), moves) << before[i].first;
        }
        EXPECT_TRUE(moves);
    }
    // Under running statistics the step is that of finetune.
    options.switches.bn_train_steps = false;
    run("cf-k", 1);
    add(0, retained(0), 1);
    expect_moved(0);
    options.compare.last_layers = 9;
    EXPECT_THAT(error_of([&] { run("cf-k", 1); }), HasSubstr("the last 9 layers are to be trained, and resnet8 has 8"));
}

TEST_F(Comparison, EuKBeginsTheLastLayersAnew) {
    options.compare.last_layers = 2;
    run("eu-k", 1);
    options.optimizer.lr = 0;
    const auto begun = model->clone();
    options.stop.max_steps = 1;
    unlearn(*begun, find_method("eu-k"), task, options);
    const StateDict given = model->state(), fresh = untrained(*model, options.seed)->state(), start = begun->state();
    const std::size_t begin = last_layers_begin(*model, 2);
    for (std::size_t i = 0; i < given.size(); ++i)
        EXPECT_TRUE(identical(start[i].second, i < begin ? given[i].second : fresh[i].second)) << given[i].first;
    options.optimizer.lr = 0.05f;
    copy_state(*begun, *weights[0]);
    add(0, retained(0), 1);
    expect_moved(0);
}

// ---- one-shot changes -----------------------------------------------------------------------------------------------

StateDict one_tensor(const std::vector<float>& values) {
    return {{"w", Tensor::from_nchw({static_cast<int64_t>(values.size())}, values)}};
}

// Of the empirical Fisher information for the last bias: mean (p_c - onehot_c)^2.
std::vector<double> fisher_of_bias(const Model& model, const StepBatch& batch) {
    const Rows p = softmax(predict(*fold_batchnorm(model), batch.images));
    std::vector<double> fisher(tiny_classes);
    for (std::size_t i = 0; i < p.size(); ++i)
        for (std::size_t c = 0; c < fisher.size(); ++c) {
            const bool own = batch.labels.int64_data()[i] == static_cast<int64_t>(c);
            fisher[c] += std::pow(p[i][c] - (own ? 1 : 0), 2) / static_cast<double>(p.size());
        }
    return fisher;
}

TEST_F(Comparison, FisherIsTheMeanOfSquaresNotTheSquareOfTheMean) {
    const StepBatch batch = forget(0, 4);
    const StateDict fisher = fisher_diagonal(*model, batch.images, batch.labels);
    EXPECT_TRUE(close(entry(fisher, "linear.bias").values(), fisher_of_bias(*model, batch), elementwise, 64));
    // d CE / d w_cj = (p_c - onehot_c) feature_j: for one image the weights' information is the bias' times feature^2.
    const StateDict one = fisher_diagonal(*model, task.images.rows(0, 1), batch.labels.rows(0, 1));
    const Tensor of_weight = entry(one, "linear.weight"), of_bias = entry(one, "linear.bias");
    const int64_t features = of_weight.dim(1);
    for (int64_t c = 1; c < tiny_classes; ++c)
        for (int64_t j = 0; j < features; ++j)
            EXPECT_NEAR(of_weight.data()[c * features + j] * of_bias.data()[0], of_weight.data()[j] * of_bias.data()[c],
                        1e-3f * of_weight.data()[j] * of_bias.data()[c] + 1e-9f);
}

TEST_F(Comparison, SsdDampensWhatTheForgottenNeedMore) {
    options.compare.dampening_alpha = 1.5f;
    options.compare.dampening_lambda = 1.2f;
    run("ssd", 1);
    std::vector<double> of_forget = fisher_of_bias(*model, forget(0, 4)),
                        of_retain = fisher_of_bias(*model, task.retained.batch(task.retained.indices));
    const std::vector<float> before = bias(*model), after = bias(*weights[1]);
    int dampened = 0;
    for (std::size_t c = 0; c < before.size(); ++c) {
        if (of_forget[c] <= 1.5 * of_retain[c]) {
            EXPECT_EQ(after[c], before[c]);
            continue;
        }
        ++dampened;
        EXPECT_NEAR(after[c], static_cast<double>(before[c]) * 1.2 * of_retain[c] / of_forget[c], 1e-5);
    }
    EXPECT_GT(dampened, 0);
    EXPECT_LT(dampened, tiny_classes);
    EXPECT_EQ(weights.size(), 2u);
}

// |f|^2 has the gradient 2 f for the last bias.
TEST_F(Comparison, LfssdNeedsNoLabels) {
    options.compare.dampening_alpha = 1.0f;
    task.retained.indices.resize(5);
    run("lfssd", 1);
    const auto twin = fold_batchnorm(*model);
    const auto sensitivity = [&](const Tensor& images) {
        const Tensor logits = predict(*twin, images);
        std::vector<double> mean(tiny_classes);
        for (int64_t i = 0; i < logits.numel(); ++i)
            mean[static_cast<std::size_t>(i % tiny_classes)] +=
                2 * std::abs(static_cast<double>(logits.data()[i])) / static_cast<double>(logits.dim(0));
        return mean;
    };
    const auto of_forget = sensitivity(task.images),
               of_retain = sensitivity(task.retained.batch(task.retained.indices).images);
    const std::vector<float> before = bias(*model), after = bias(*weights[1]);
    int dampened = 0;
    for (std::size_t c = 0; c < before.size(); ++c) {
        const bool more = of_forget[c] > of_retain[c];
        dampened += more ? 1 : 0;
        EXPECT_NEAR(after[c], static_cast<double>(before[c]) * (more ? of_retain[c] / of_forget[c] : 1), 1e-5) << c;
    }
    EXPECT_GT(dampened, 0);
}

TEST_F(Comparison, FisherNoiseIsLargeWhereTheRetainedDoNotCare) {
    options.compare.noise_alpha = 1e-6f;
    run("fisher-noise", 1);
    const std::vector<double> fisher = fisher_of_bias(*model, task.retained.batch(task.retained.indices));
    const std::vector<float> before = bias(*model), after = bias(*weights[1]);
    const Random random(options.seed, Purpose::weight_noise);
    const uint64_t item = model->net().parameters().size() - 1;
    for (uint32_t c = 0; c < tiny_classes; ++c) {
        const double deviation = std::pow(1e-6 / (fisher[c] + 1e-8), 0.25);
        EXPECT_NEAR(after[c] - before[c], deviation * static_cast<double>(random.normal(item, c)), 1e-3 * deviation);
    }
}

TEST(Dampening, ByHand) {
    ModelSpec spec{.arch = "resnet8", .classes = 2};
    Model model(spec, 0);
    StateDict ones, few;
    for (const auto& [name, var] : model.net().parameters()) {
        ones.emplace_back(name, Tensor::full(var.shape(), 1.0f));
        few.emplace_back(name, Tensor::full(var.shape(), 1.0f));
    }
    Tensor bias = model.net().parameters().back().var.value();
    bias.copy_from(Tensor::from_nchw({2}, std::vector<float>{3.0f, -5.0f}));
    ones.back().second.copy_from(Tensor::from_nchw({2}, std::vector<float>{4.0f, 4.0f}));
    few.back().second.copy_from(Tensor::from_nchw({2}, std::vector<float>{0.5f, 0.0f}));
    EXPECT_EQ(dampen(model, ones, few, 2.0f, 4.0f), 2);
    EXPECT_EQ(bias.data()[0], 1.5f);   // 3 * 4 * 0.5 / 4
    EXPECT_EQ(bias.data()[1], -0.0f);  // what only D_f needs goes
    bias.copy_from(Tensor::from_nchw({2}, std::vector<float>{3.0f, -5.0f}));
    EXPECT_EQ(dampen(model, ones, few, 2.0f, 100.0f), 2);
    EXPECT_EQ(bias.data()[0], 3.0f);                     // never made larger
    EXPECT_EQ(dampen(model, ones, few, 8.0f, 1.0f), 1);  // 4 is not more than 8 times 0.5
    few.pop_back();
    EXPECT_THAT(error_of([&] { dampen(model, ones, few, 2.0f, 1.0f); }), HasSubstr("importances of"));
}

TEST(FisherNoise, HasTheDeviationOfTheFormula) {
    Model model({.arch = "resnet8", .classes = 2}, Seed());  // of zeros
    StateDict fisher;
    for (const auto& [name, var] : model.net().parameters())
        fisher.emplace_back(name, Tensor::full(var.shape(), 1e-4f));
    StateDict before;
    for (const auto& [name, var] : model.net().parameters()) before.emplace_back(name, var.value().clone());
    add_fisher_noise(model, fisher, 1e-8f, 7);  // (1e-8 / 1.0001e-4)^(1/4) = 0.099998
    double sum = 0, squares = 0, count = 0;
    const std::vector<Module::Parameter> parameters = model.net().parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i)
        for (int64_t j = 0; j < parameters[i].var.value().numel(); ++j) {
            const double noise = static_cast<double>(parameters[i].var.value().data()[j]) -
                                 static_cast<double>(before[i].second.data()[j]);
            sum += noise;
            squares += noise * noise;
            ++count;
        }
    ASSERT_GT(count, 50000);
    EXPECT_NEAR(sum / count, 0, 5 * 0.1 / std::sqrt(count));  // five standard errors
    EXPECT_NEAR(std::sqrt(squares / count), 0.099998, 5 * 0.1 / std::sqrt(2 * count));
}

// ---- D_r ------------------------------------------------------------------------------------------------------------

TEST(Retained, EachPassUsesEveryImageOnce) {
    const RetainedImages images{&tiny_retained(), {1, 4, 9, 11, 19}};
    RetainedBatches batches(images, 2, 3);
    const auto labels_of_pass = [&](int64_t pass) {
        std::vector<int64_t> seen;
        for (const int64_t step : {3 * pass, 3 * pass + 1, 3 * pass + 2})
            for (const int64_t label : batches.batch(step).labels.int64_values()) seen.push_back(label);
        return seen;
    };
    const std::vector<int64_t> first = labels_of_pass(0), second = labels_of_pass(1);
    EXPECT_THAT(first, testing::UnorderedElementsAreArray({3, 12 % 5, 27 % 5, 33 % 5, 57 % 5}));
    EXPECT_THAT(second, testing::UnorderedElementsAreArray(first));
    EXPECT_NE(first, second);
    EXPECT_EQ(batches.batch(2).size(), 1);
    // A step's images depend on its number, not on what was asked for before.
    const Tensor again = RetainedBatches(images, 2, 3).batch(4).images;
    EXPECT_TRUE(identical(batches.batch(4).images, again));
    EXPECT_FALSE(identical(RetainedBatches(images, 2, 4).batch(4).images, again));
}

TEST(Retained, TheMeanIsOverImagesNotOverPieces) {
    Dataset data;
    data.height = data.width = 1;
    data.labels.assign(1025, 0);  // one more than a piece
    data.labels.back() = 1;
    data.pixels.assign(3 * 1025, 0);
    const RetainedImages images{&data, all_indices(data)};
    int64_t calls = 0;
    const StateDict mean = mean_over(images, [&](const StepBatch& batch) {
        ++calls;
        double sum = 0;
        for (const int64_t label : batch.labels.int64_values()) sum += static_cast<double>(label);
        return one_tensor({static_cast<float>(sum / static_cast<double>(batch.size())), 1.0f});
    });
    EXPECT_EQ(calls, 2);
    EXPECT_NEAR(mean.front().second.data()[0], 1.0 / 1025, 1e-9);
    EXPECT_NEAR(mean.front().second.data()[1], 1.0, 1e-6);
}

TEST_F(Comparison, WithoutRetainedImagesTheMethodsThatNeedThemRefuse) {
    task.retained = {};
    for (const Method& method : methods()) {
        if (!method.needs_retained()) continue;
        EXPECT_THAT(error_of([&] { unlearn(*model, method, task, options); }),
                    HasSubstr("method " + method.name + " looks at D_r"));
    }
    run("random-label", 1);
    EXPECT_EQ(traces.size(), 1u);
}

TEST(ComparisonOptions, AreChecked) {
    const auto refused = [](auto&& change) {
        return error_of([&] {
            UnlearnOptions bad;
            change(bad.compare);
            bad.validate();
        });
    };
    EXPECT_THAT(refused([](auto& o) { o.fixed_steps = 0; }), HasSubstr("fixed_steps is 0"));
    EXPECT_THAT(refused([](auto& o) { o.retain_batch = 0; }), HasSubstr("retain_batch is 0"));
    EXPECT_THAT(refused([](auto& o) { o.beta = 1.5f; }), HasSubstr("beta is 1.5"));
    EXPECT_THAT(refused([](auto& o) { o.salient_share = 0; }), HasSubstr("salient_share is 0"));
    EXPECT_THAT(refused([](auto& o) { o.dampening_alpha = 0; }), HasSubstr("dampening_alpha is 0"));
    EXPECT_THAT(refused([](auto& o) { o.dampening_lambda = -1; }), HasSubstr("dampening_lambda is -1"));
    EXPECT_THAT(refused([](auto& o) { o.scrub_alpha = o.scrub_gamma = 0; }), HasSubstr("one of them must be more"));
    EXPECT_THAT(refused([](auto& o) { o.scrub_rounds = 0; }), HasSubstr("scrub_rounds is 0"));
    EXPECT_THAT(refused([](auto& o) { o.boundary_eps = -1; }), HasSubstr("boundary_eps is -1"));
    EXPECT_THAT(refused([](auto& o) { o.noise_alpha = std::nanf(""); }), HasSubstr("noise_alpha is nan"));
    EXPECT_THAT(refused([](auto& o) { o.last_layers = 0; }), HasSubstr("last_layers is 0"));
}

}  // namespace
}  // namespace lethe::test
