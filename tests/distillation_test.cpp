// Proxies, views and the divergence of self-distillation.
#include "unlearn/distillation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "tests/support/tiny_task.h"
#include "unlearn/inversion.h"
#include "unlearn/metrics/reemergence.h"
#include "unlearn/step_terms.h"
#include "unlearn/unlearn.h"

namespace lethe::test {
namespace {

class DistillationTest : public testing::Test {
protected:
    void TearDown() override { set_threads(0); }
    Distillation make(int64_t proxies, bool keep_away) const {
        return {*model, task, {.proxies = proxies, .proxies_from = "attack"}, keep_away, 5};
    }

    std::unique_ptr<Model> model = tiny_model();
    ForgetTask task = tiny_task(*model);
};

TEST_F(DistillationTest, DivergenceByHand) {
    // p = (1/2, 1/2), logits (ln 3, 0): q = (3/4, 1/4). KL = 1/2 ln(2/3) + 1/2 ln 2 = 1/2 ln(4/3). The second row
    // agrees.
    const auto ln3 = static_cast<float>(std::log(3.0));
    const Tensor target = Tensor::from_nchw({2, 2}, std::vector<float>{0.5f, 0.5f, 0.75f, 0.25f});
    const Tensor logits = Tensor::from_nchw({2, 2}, std::vector<float>{ln3, 0.0f, ln3 + 5.0f, 5.0f});
    EXPECT_NEAR(mean_kl(target, logits), 0.25 * std::log(4.0 / 3.0), 1e-7);
    // T = 2: q = (sqrt 3, 1) / (1 + sqrt 3), and the whole four times. The second row: p is (3/4, 1/4).
    const double s = std::sqrt(3.0), first = 0.5 * std::log(0.25 * (1 + s) * (1 + s) / s),
                 second = 0.75 * std::log(0.75 * (1 + s) / s) + 0.25 * std::log(0.25 * (1 + s));
    EXPECT_NEAR(mean_kl(target, logits, 2), 4 * (first + second) / 2, 1e-7);
    EXPECT_NEAR(softmax_rows(logits, 2).data()[0], s / (1 + s), 1e-6);
    // The other way round it would be 3/4 ln(3/2) + 1/4 ln(1/2), which is not it.
    EXPECT_GT(std::abs(0.5 * (0.75 * std::log(1.5) + 0.25 * std::log(0.5)) - 0.25 * std::log(4.0 / 3.0)), 1e-3);
    const Tensor q = softmax_rows(logits);
    EXPECT_NEAR(q.data()[0], 0.75f, 1e-6);
    EXPECT_NEAR(q.data()[3], 0.25f, 1e-6);
    // A class without a share counts nothing, however small its logit.
    const Tensor certain = Tensor::from_nchw({1, 2}, std::vector<float>{1.0f, 0.0f});
    EXPECT_NEAR(mean_kl(certain, Tensor::from_nchw({1, 2}, std::vector<float>{200.0f, -200.0f})), 0.0, 1e-12);
}

TEST_F(DistillationTest, ProxiesAreImagesAndTheTeachersOpinion) {
    const Distillation distillation = make(18, false);
    const Proxies proxies = distillation.proxies(3);
    ASSERT_EQ(proxies.images.shape(), Shape({18, 3, tiny_side, tiny_side}));
    for (const float pixel : proxies.images.values()) EXPECT_TRUE(pixel >= 0.0f && pixel <= 1.0f);
    EXPECT_TRUE(identical(proxies.target, softmax_rows(predict(*fold_batchnorm(*model), proxies.images), 4)));
    // The first kind is adversarial images as they are.
    const int64_t pixels = 3 * tiny_side * tiny_side;
    const Tensor pool = task.adversarial.rows(0, task.adversarial.shape()[0]);
    for (int64_t i = 0; i < 6; ++i) {
        const float* image = proxies.images.data() + i * pixels;
        bool found = false;
        for (int64_t j = 0; j < pool.dim(0); ++j)
            found = found || std::equal(image, image + pixels, pool.data() + j * pixels);
        EXPECT_TRUE(found) << i;
    }
}

TEST_F(DistillationTest, AStepsProxiesDependOnSeedAndStepAlone) {
    const Distillation distillation = make(12, false);
    const Proxies at_seven = distillation.proxies(7);
    distillation.proxies(2);
    set_threads(1);
    EXPECT_TRUE(identical(distillation.proxies(7).images, at_seven.images));
    set_threads(2);
    EXPECT_TRUE(identical(make(12, false).proxies(7).images, at_seven.images));
    EXPECT_FALSE(identical(distillation.proxies(8).images, at_seven.images));
}

// A black image to forget, white adversarial ones: a pixel of a mixture tells lambda.
TEST_F(DistillationTest, KeptAwayProxiesOfOneImageAreHalfOfIt) {
    ForgetTask one = task;
    one.images = Tensor::full({1, 3, 32, 32}, 0.0f);
    one.labels = {0};
    one.adversarial = ImageRows(Tensor::full({4, 3, 32, 32}, 1.0f));
    constexpr int64_t n = 64;
    for (const bool keep_away : {true, false}) {
        const Proxies proxies =
            Distillation(*model, one, {.proxies = 3 * n, .proxies_from = "attack"}, keep_away, 1).proxies(0);
        const int64_t pixels = 3 * 32 * 32, centre = (16 * 32 + 16) * 3;  // no shift of 4 brings zeros there
        float darkest = 1.0f, brightest = 0.0f;
        for (int64_t i = n; i < 2 * n; ++i) {
            const float value = proxies.images.data()[i * pixels + centre];
            darkest = std::min(darkest, value);
            brightest = std::max(brightest, value);
        }
        // 64 draws from [0, 1): that none is in the outer tenth of either end has probability 2 * 0.9^64.
        EXPECT_EQ(darkest, keep_away ? 0.5f : std::min(darkest, 0.1f));
        EXPECT_EQ(brightest, keep_away ? 0.5f : std::max(brightest, 0.9f));
    }
}

// A black and a white image to forget, grey adversarial ones: what is mixed or pasted is made of the first two, half of
// each.
TEST_F(DistillationTest, KeptAwayProxiesAreMadeOfTwoImagesOfTheForgetSet) {
    ForgetTask two = task;
    two.images = Tensor::full({2, 3, 32, 32}, 0.0f);
    two.images.rows(1, 2).copy_from(Tensor::full({1, 3, 32, 32}, 1.0f));
    two.labels = {0, 1};
    two.adversarial = ImageRows(Tensor::full({4, 3, 32, 32}, 0.25f));
    constexpr int64_t n = 64, side = 32, pixels = 3 * side * side, centre = (16 * side + 16) * 3;
    const Proxies proxies = Distillation(*model, two, {.proxies = 3 * n, .proxies_from = "attack"}, true, 1).proxies(0);
    const float* value = proxies.images.data();
    int64_t white_pieces = 0;
    for (int64_t i = 0; i < n; ++i) {
        EXPECT_EQ(value[i * pixels + centre], 0.25f);
        EXPECT_EQ(value[(n + i) * pixels + centre], 0.5f);
        // Away from the border, where zeros may have come in, a rectangle of 23 x 23 covers from 19 x 19 to 23 x 23.
        int64_t white = 0;
        for (int64_t y = 4; y < side - 4; ++y)
            for (int64_t x = 4; x < side - 4; ++x) {
                const float shade = value[(2 * n + i) * pixels + (y * side + x) * 3];
                EXPECT_TRUE(shade == 0.0f || shade == 1.0f) << shade;
                white += shade == 1.0f ? 1 : 0;
            }
        const bool white_piece = white >= 19 * 19 && white <= 23 * 23;
        EXPECT_TRUE(white_piece || (24 * 24 - white >= 19 * 19 && 24 * 24 - white <= 23 * 23)) << white;
        white_pieces += white_piece ? 1 : 0;
    }
    EXPECT_GT(white_pieces, 10);  // of 64, either image pasted as often as the other
    EXPECT_LT(white_pieces, 54);
}

// Grey images, each with a shade of its own: where no border reaches, a proxy shows which one it is.
TEST_F(DistillationTest, ProxiesOfAStockAreItsImagesMoved) {
    Tensor stock = Tensor::empty({5, 3, 32, 32});
    for (int64_t i = 0; i < 5; ++i)
        stock.rows(i, i + 1).copy_from(Tensor::full({1, 3, 32, 32}, 0.2f + 0.1f * static_cast<float>(i)));
    task.images = Tensor::full({4, 3, 32, 32}, 0.9f);
    task.inverted = ImageRows(stock);
    const Distillation distillation(*model, task, {.proxies = 40, .proxies_from = "inversion"}, false, 5);
    const Proxies proxies = distillation.proxies(2);
    ASSERT_EQ(proxies.images.shape(), Shape({40, 3, 32, 32}));
    std::set<int> seen;
    bool moved = false;
    for (int64_t i = 0; i < 40; ++i) {
        const float* image = proxies.images.data() + i * 3 * 32 * 32;
        const float shade = image[(16 * 32 + 16) * 3];
        seen.insert(static_cast<int>(std::lround(10 * shade)));
        for (int64_t j = 0; j < 3 * 32 * 32; ++j) {
            EXPECT_TRUE(image[j] == shade || image[j] == 0.0f);
            moved = moved || image[j] == 0.0f;
        }
    }
    EXPECT_EQ(seen, (std::set<int>{2, 3, 4, 5, 6}));
    EXPECT_TRUE(moved);
    EXPECT_TRUE(identical(proxies.target, softmax_rows(predict(*fold_batchnorm(*model), proxies.images), 4)));
    EXPECT_TRUE(identical(distillation.proxies(2).images, proxies.images));
    EXPECT_FALSE(identical(distillation.proxies(3).images, proxies.images));
}

TEST_F(DistillationTest, WhereProxiesComeFrom) {
    const Model plain({.arch = "squeezenet1_1", .classes = 5}, 1);
    const auto sources = [](const std::string& from, const Model& of) {
        const ProxySources found = proxy_sources({.proxies_from = from}, of);
        return std::pair(found.inversion, found.attack);
    };
    EXPECT_EQ(sources("auto", *model), std::pair(true, true));
    EXPECT_EQ(sources("both", *model), std::pair(true, true));
    EXPECT_EQ(sources("inversion", *model), std::pair(true, false));
    EXPECT_EQ(sources("attack", *model), std::pair(false, true));
    EXPECT_EQ(sources("auto", plain), std::pair(false, true));
    EXPECT_EQ(sources("attack", plain), std::pair(false, true));
    task.inverted = ImageRows(tiny_images(5, 3));
    const Proxies both = Distillation(*model, task, {.proxies = 14}, false, 5).proxies(1);
    EXPECT_EQ(both.images.dim(0), 7 + 3 * 2);
    // The second part is what the attack alone would give.
    const Proxies attacked = Distillation(*model, task, {.proxies = 6, .proxies_from = "attack"}, false, 5).proxies(1);
    EXPECT_TRUE(identical(both.images.rows(7, 13).clone(), attacked.images));
    EXPECT_THAT(error_of([&] { proxy_sources({.proxies_from = "inversion"}, plain); }),
                testing::HasSubstr("has no BatchNorm, so it cannot be inverted"));
}

// From inverted images alone: no adversarial ones are asked for.
TEST_F(DistillationTest, ForgetsByProxiesOfTheModel) {
    task.inverted = invert(*model, task.images, {.images = 20, .steps = 5}).images;
    task.adversarial = {};
    task.adversarial_labels.clear();
    for (const char* name : {"distill", "distill+views"}) {
        UnlearnOptions options = tiny_options();
        options.distill.lr = 2e-3f;
        options.distill.proxies = 16;
        options.distill.proxies_from = "inversion";
        options.stop.views = 1;
        const auto own = model->clone();
        EXPECT_EQ(unlearn(*own, find_method(name), task, options, {}).verdict, Verdict::forgotten) << name;
    }
    task.adversarial = tiny_images(4);
    task.inverted = {};
    EXPECT_THAT(error_of([&] { Distillation(*model, task, {}, false, 1); }),
                testing::HasSubstr("need inverted images"));
    task.inverted = ImageRows(Tensor::empty({2, 3, 4, 4}));
    task.adversarial = {};
    EXPECT_THAT(error_of([&] { Distillation(*model, task, {}, false, 1); }),
                testing::HasSubstr("need adversarial images"));
    EXPECT_THAT(error_of([&] { unlearn(*model, find_method("distill"), task, tiny_options(), {}); }),
                testing::HasSubstr("inverted images are [2, 3, 4, 4]"));
}

// Steps of methods with views grow shorter once the goal was met; the last of them stays until it is met again.
TEST_F(DistillationTest, StepsSettleOnceTheGoalWasMet) {
    UnlearnOptions options = tiny_options();
    options.distill.lr = 2e-3f;
    options.distill.settle = 8;
    options.stop.views = 1;
    std::vector<StepTrace> traces;
    const auto own = model->clone();
    unlearn(*own, find_method("distill+views"), task, options, [&](const StepTrace& trace, const auto&) {
        traces.push_back(trace);
        return true;
    });
    int64_t done = 0;
    for (const StepTrace& trace : traces) {
        EXPECT_NEAR(trace.lr, 2e-3 * static_cast<double>(8 - done) / 8, 1e-9) << trace.step;
        if (trace.forget_correct == 0 || (done > 0 && done < 7)) ++done;
    }
    EXPECT_EQ(done, 8);
    EXPECT_EQ(traces.back().forget_correct, 0);
}

// One of two rows counts: half the gradient of its own mean, where the mean is over both.
TEST_F(DistillationTest, TheMeanOverAllRowsWeakensAsRowsAreLost) {
    const std::vector<int64_t> labels{task.labels[0], task.labels[1]};
    const StepBatch batch = slice_batch(task.images, labels, 0, 2);
    const std::vector<float> second{0.0f, 1.0f};
    const auto gradients = [&](Average average) {
        const auto own = model->clone();
        Terms terms;
        own->net().zero_grad();
        Gradients(*own, false).cross_entropy(terms, batch, 3.0, second, average);
        std::vector<Tensor> all;
        for (const Module::Parameter& parameter : own->net().parameters()) all.push_back(parameter.var.grad());
        return all;
    };
    const std::vector<Tensor> marked = gradients(Average::marked), all = gradients(Average::all);
    ASSERT_EQ(marked.size(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
        for (int64_t j = 0; j < all[i].numel(); ++j) EXPECT_EQ(all[i].data()[j], 0.5f * marked[i].data()[j]);
}

// The gradient of a bias of the last layer, weight T / N * sum over rows of softmax(z / T) - target, is that of
// mean_kl().
TEST_F(DistillationTest, DivergenceHasTheGradientOfItsValue) {
    const Tensor images = tiny_images(3);
    const Tensor target = softmax_rows(predict(*fold_batchnorm(*tiny_model()), tiny_images(6).rows(3, 6)), 3);
    const auto bias = [](Model& of) -> Module::Parameter {
        return of.net().parameters().back();  // "...bias" of the last linear layer
    };
    Terms terms;
    model->net().zero_grad();
    Gradients(*model, false).divergence(terms, images, target, 2.0f, 3.0f);
    ASSERT_THAT(bias(*model).name, testing::EndsWith("bias"));
    for (int64_t c = 0; c < bias(*model).var.value().numel(); ++c) {
        const auto value = [&](float by) {
            const auto own = model->clone();
            bias(*own).var.value().mutable_data()[c] += by;
            return 2 * mean_kl(target, predict(*fold_batchnorm(*own), images), 3);
        };
        const double slope = (value(0.05f) - value(-0.05f)) / 0.1;
        EXPECT_NEAR(static_cast<double>(bias(*model).var.grad().data()[c]), slope, 2e-4) << c;
    }
}

// Mirrored; window; noise; window and noise; moved; and again, but for the first.
TEST_F(DistillationTest, ViewsAreOfFiveKinds) {
    std::vector<float> ramp;
    for (int i = 0; i < 3 * 32 * 32; ++i) ramp.push_back(static_cast<float>(i % 32) / 32.0f);
    const Tensor image = Tensor::from_nchw({1, 3, 32, 32}, ramp);
    const Tensor copies = weak_views(image, 9, 0.001f, Random(2, Purpose::weak_view), 0);
    ASSERT_EQ(copies.dim(0), 9);
    const auto pixels = [&](int64_t copy) { return copies.rows(copy, copy + 1).to_nchw(); };
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(pixels(0)[i], ramp[31 - i]);
    for (int64_t copy = 1; copy < 9; ++copy) {
        // A ramp grows by the same step everywhere inside; in a window of 7/8, as large as the whole, by 7/8 of it.
        const std::vector<float> now = pixels(copy);
        const float step = std::abs(now[16 * 32 + 20] - now[16 * 32 + 12]) / 8;
        EXPECT_NEAR(step, (copy % 2 == 1 ? 0.875f : 1.0f) / 32.0f, 1e-3f) << copy;
        const bool columns_alike = now[16 * 32 + 16] == now[20 * 32 + 16];  // as in the ramp
        EXPECT_EQ(columns_alike, copy % 4 < 2) << copy;
    }
}

TEST_F(DistillationTest, ViewsStayInTheBoxAndAreCopiesMajor) {
    const Random random(1, Purpose::weak_view);
    const Tensor views = weak_views(task.images, 3, 0.5f, random, 10);
    ASSERT_EQ(views.dim(0), 12);
    for (const float pixel : views.values()) EXPECT_TRUE(pixel >= 0.0f && pixel <= 1.0f);
    const std::vector<uint64_t> items{0, 1, 2, 3};
    EXPECT_TRUE(identical(views.rows(0, 4), view_of("flip", task.images, items, 0, {})));
    // Without noise a view holds the image's values or zeros: the mean of an all-ones image only falls by the border.
    const Tensor ones = Tensor::full({2, 3, 32, 32}, 1.0f);
    const Tensor shifted = weak_views(ones, 20, 0.0f, random, 0);
    const int64_t pixels = 3 * 32 * 32;
    bool some_moved = false;
    for (int64_t i = 0; i < shifted.dim(0); ++i) {
        double sum = 0;
        for (int64_t j = 0; j < pixels; ++j) sum += static_cast<double>(shifted.data()[i * pixels + j]);
        const double share = sum / static_cast<double>(pixels);
        EXPECT_GE(share, (29.0 / 32.0) * (29.0 / 32.0) - 1e-6);  // by 3 pixels at most, down and right
        some_moved = some_moved || share < 1.0;
    }
    EXPECT_TRUE(some_moved);
    EXPECT_THAT(error_of([&] { weak_views(Tensor::zeros({1, 3, 3, 8}), 2, 0, random, 0); }), testing::HasSubstr("3x8"));
}

// What holds the network: the stronger the weight, the less its answers to proxies have changed.
TEST_F(DistillationTest, AStrongerAnchorMovesLess) {
    const auto divergence = [&](float weight) {
        UnlearnOptions options = tiny_options();
        options.distill = {.weight = weight, .lr = 1e-3f, .proxies = 16};
        options.stop = {.in_a_row = 1000, .max_steps = 10};
        double last = 0;
        const auto own = model->clone();
        unlearn(*own, find_method("distill"), task, options, [&](const StepTrace& trace, const auto&) {
            last = trace.distillation;
            return true;
        });
        return last;
    };
    EXPECT_LT(divergence(100.0f), divergence(0.0f));
}

TEST_F(DistillationTest, OptionsAreChecked) {
    const auto error = [](auto set) {
        return error_of([&] {
            DistillOptions options;
            set(options);
            options.validate();
        });
    };
    EXPECT_THAT(error([](DistillOptions& o) { o.weight = -1; }), testing::HasSubstr("distillation weight is -1"));
    EXPECT_THAT(error([](DistillOptions& o) { o.lr = 0; }), testing::HasSubstr("> 0"));
    EXPECT_THAT(error([](DistillOptions& o) { o.proxies = 0; }), testing::HasSubstr("proxies is 0"));
    EXPECT_THAT(error([](DistillOptions& o) { o.views_weight = -1; }), testing::HasSubstr("weight of views is -1"));
    EXPECT_THAT(error([](DistillOptions& o) { o.settle = 0; }), testing::HasSubstr("settle is 0"));
    EXPECT_THAT(error([](DistillOptions& o) { o.proxies_from = "air"; }),
                testing::HasSubstr("auto, both, inversion or attack"));
    EXPECT_THAT(error([](DistillOptions& o) { o.temperature = 0; }),
                testing::HasSubstr("temperature of distillation is 0"));
    EXPECT_THAT(error([](DistillOptions& o) { o.views = 0; }), testing::HasSubstr("views is 0"));
}

}  // namespace
}  // namespace lethe::test
