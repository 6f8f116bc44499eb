#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

std::vector<int64_t> some_labels(int64_t rows, int64_t classes) {
    std::vector<int64_t> labels;
    for (int64_t n = 0; n < rows; ++n) labels.push_back((n * 7 + 3) % classes);
    return labels;
}

struct Case {
    int64_t rows, classes;
    float scale;
};
const std::vector<Case> cases = {{16, 10, 3.0f}, {1, 2, 1.0f},    {33, 100, 10.0f}, {5, 17, 1.0f}, {7, 1000, 30.0f},
                                 {3, 31, 1.0f},  {2, 32, 100.0f}, {9, 33, 1.0f},    {0, 10, 1.0f}, {300, 10, 3.0f},
                                 {128, 2, 1.0f}, {5, 128, 3.0f},  {3, 1500, 5.0f}};

class DeviceSoftmaxCrossEntropyTest : public DeviceTest {
protected:
    Tensor labels(const std::vector<int64_t>& values) {
        return on(Tensor::from_int64({static_cast<int64_t>(values.size())}, values));
    }
    Tensor loss(const Tensor& logits, const std::vector<int64_t>& label) {
        Tensor p;
        return device().softmax_cross_entropy(on(logits), labels(label), p).cpu();
    }
};

TEST_P(DeviceSoftmaxCrossEntropyTest, AgreesWithTheOracle) {
    for (const auto& [rows, classes, scale] : cases) {
        SCOPED_TRACE(concat(rows, " rows, ", classes, " classes"));
        const std::vector<int64_t> label = some_labels(rows, classes);
        const Tensor logits = random({rows, classes}, 1, scale), g = random({rows}, 2);
        Tensor p;
        const Tensor losses = device().softmax_cross_entropy(logits, labels(label), p);
        const Tensor grad = device().softmax_cross_entropy_grad(g, p, labels(label));
        Array expected({rows, classes});
        EXPECT_TRUE(
            close(losses.to_nchw(), reference::softmax_cross_entropy(Array(logits), label, expected), reduction));
        EXPECT_TRUE(close(p.to_nchw(), expected, reduction, static_cast<double>(scale)));
        const Array gs(g);
        for (int64_t n = 0; n < rows; ++n) {
            expected.at(n, label[static_cast<std::size_t>(n)]) -= 1.0;
            for (int64_t c = 0; c < classes; ++c) expected.at(n, c) *= gs.at(n);
        }
        EXPECT_TRUE(close(grad.to_nchw(), expected, reduction, static_cast<double>(scale)));
    }
}

// The smoothed loss is a weighted sum of plain ones, one for each class.
TEST_P(DeviceSoftmaxCrossEntropyTest, LabelSmoothing) {
    for (const auto& [rows, classes, scale] : cases)
        for (const float smoothing : {0.1f, 1.0f}) {
            SCOPED_TRACE(concat(rows, " rows, ", classes, " classes, smoothing ", smoothing));
            const std::vector<int64_t> label = some_labels(rows, classes);
            const Tensor logits = random({rows, classes}, 1, scale), g = random({rows}, 2);
            const CrossEntropy op{.label_smoothing = smoothing};
            Tensor p;
            const Tensor losses = device().softmax_cross_entropy(logits, labels(label), p, op);
            const Tensor grad = device().softmax_cross_entropy_grad(g, p, labels(label), op);
            const auto s = static_cast<double>(smoothing), every = s / static_cast<double>(classes);
            Array expected({rows}), unused({rows, classes}), expected_grad(p);
            for (int64_t c = 0; c < classes; ++c) {
                const Array plain = reference::softmax_cross_entropy(
                    Array(logits), std::vector<int64_t>(static_cast<std::size_t>(rows), c), unused);
                for (int64_t n = 0; n < rows; ++n) {
                    const double target = every + (label[static_cast<std::size_t>(n)] == c ? 1.0 - s : 0.0);
                    expected.at(n) += target * plain.at(n);
                    expected_grad.at(n, c) = (expected_grad.at(n, c) - target) * Array(g).at(n);
                }
            }
            EXPECT_TRUE(close(losses.to_nchw(), expected, reduction));
            EXPECT_TRUE(close(grad.to_nchw(), expected_grad, reduction));
        }
}

TEST_P(DeviceSoftmaxCrossEntropyTest, ARowDoesNotDependOnItsBatch) {
    const Tensor logits = random({9, 17}, 1), g = random({9}, 2);
    const std::vector<int64_t> label = some_labels(9, 17);
    Tensor all_p;
    const Tensor all = device().softmax_cross_entropy(logits, labels(label), all_p);
    const Tensor grads = device().softmax_cross_entropy_grad(g, all_p, labels(label));
    for (int64_t n = 0; n < 9; ++n) {
        const Tensor own = labels({label[static_cast<std::size_t>(n)]});
        Tensor p;
        EXPECT_EQ(device().softmax_cross_entropy(logits.rows(n, n + 1), own, p).item(), all.rows(n, n + 1).item());
        EXPECT_TRUE(identical(p.cpu(), all_p.cpu().rows(n, n + 1)));
        EXPECT_TRUE(
            identical(device().softmax_cross_entropy_grad(g.rows(n, n + 1), p, own).cpu(), grads.cpu().rows(n, n + 1)));
    }
}

TEST_P(DeviceSoftmaxCrossEntropyTest, LargeLogitsNeitherOverflowNorVanish) {
    const Tensor logits = Tensor::from_nchw({3, 2}, std::vector<float>{1e30f, -1e30f, -1e5f, -1e5f, 1000.0f, 999.0f});
    const Tensor losses = loss(logits, {0, 1, 1});
    EXPECT_FLOAT_EQ(losses.data()[0], 0.0f);
    EXPECT_FLOAT_EQ(losses.data()[1], std::log(2.0f));
    EXPECT_FLOAT_EQ(losses.data()[2], 1.3132617f);  // log(1 + e)
}

// A confident, correct prediction has a small loss, and it must keep its digits: log(1 + e^-20), and with 100 classes
// log(1 + 99 e^-20).
TEST_P(DeviceSoftmaxCrossEntropyTest, SmallLossesKeepTheirDigits) {
    EXPECT_NEAR(loss(Tensor::from_nchw({1, 2}, std::vector<float>{10.0f, -10.0f}), {0}).item(), 2.0611536e-9f, 1e-12f);
    std::vector<float> row(100, -10.0f);
    row[40] = 10.0f;
    EXPECT_NEAR(loss(Tensor::from_nchw({1, 100}, row), {40}).item(), 99 * 2.0611536e-9f, 1e-11f);
}

TEST_P(DeviceSoftmaxCrossEntropyTest, WhatIsNoNumberStaysVisible) {
    for (const int64_t classes : {2, 10, 40, 100})
        for (const int64_t position : {int64_t{0}, classes / 2, classes - 1}) {
            std::vector<float> row(static_cast<std::size_t>(classes), 1.0f);
            float& logit = row[static_cast<std::size_t>(position)];
            const int64_t elsewhere = (position + 1) % classes;
            const auto loss_of = [&](float value, int64_t label) {
                logit = value;
                return loss(Tensor::from_nchw({1, classes}, row), {label}).item();
            };
            EXPECT_TRUE(std::isnan(loss_of(nan, elsewhere)));
            EXPECT_TRUE(std::isnan(loss_of(infinity, elsewhere)));
            EXPECT_TRUE(std::isnan(loss_of(infinity, position)));
            EXPECT_EQ(loss_of(-infinity, position), infinity);
            EXPECT_NEAR(loss_of(-infinity, elsewhere), std::log(static_cast<float>(classes - 1)), 1e-5f);
        }
    EXPECT_TRUE(std::isnan(loss(Tensor::from_nchw({1, 2}, std::vector<float>{-infinity, -infinity}), {0}).item()));
}

// The log-odds' gradient as its formula says.
Array log_odds_grad(const Array& logits, const std::vector<int64_t>& label, const std::vector<float>& active,
                    double weight) {
    Array grad(logits.shape);
    double rows = 0.0;
    for (const float value : active) rows += value != 0.0f ? 1.0 : 0.0;
    for (int64_t n = 0; n < logits.shape[0]; ++n) {
        if (active[static_cast<std::size_t>(n)] == 0.0f) continue;
        const int64_t own = label[static_cast<std::size_t>(n)];
        double top = -std::numeric_limits<double>::infinity(), sum = 0.0;
        for (int64_t c = 0; c < logits.shape[1]; ++c)
            if (c != own) top = std::max(top, logits.at(n, c));
        for (int64_t c = 0; c < logits.shape[1]; ++c)
            if (c != own) sum += std::exp(logits.at(n, c) - top);
        for (int64_t c = 0; c < logits.shape[1]; ++c)
            grad.at(n, c) = weight / rows * (c == own ? 1.0 : -std::exp(logits.at(n, c) - top) / sum);
    }
    return grad;
}

TEST_P(DeviceSoftmaxCrossEntropyTest, LogOddsOfTheActiveRows) {
    for (const auto& [rows, classes, scale] : cases)
        for (const int64_t every : {1, 2, 3, 1000}) {
            SCOPED_TRACE(concat(rows, " rows, ", classes, " classes, one active row of ", every));
            const std::vector<int64_t> label = some_labels(rows, classes);
            std::vector<float> active;
            for (int64_t n = 0; n < rows; ++n) active.push_back(n % every == every - 1 ? 1.0f : 0.0f);
            const Tensor logits = random({rows, classes}, 1, scale);
            const Tensor grad =
                device().log_odds_grad(logits, labels(label), on(Tensor::from_nchw({rows}, active)), -0.7f);
            EXPECT_TRUE(close(grad.to_nchw(), log_odds_grad(Array(logits), label, active, static_cast<double>(-0.7f)),
                              elementwise));
        }
}

TEST_P(DeviceSoftmaxCrossEntropyTest, LogOddsOfCertainPredictionsDoNotVanish) {
    const Tensor logits = on(Tensor::from_nchw({1, 3}, std::vector<float>{1e30f, 5.0f, 5.0f}));
    const Tensor grad = device().log_odds_grad(logits, labels({0}), on(Tensor::full({1}, 1.0f)), 1.0f);
    EXPECT_EQ(grad.to_nchw(), (std::vector<float>{1.0f, -0.5f, -0.5f}));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceSoftmaxCrossEntropyTest, all_devices(), device_name);

// The CPU refuses such labels; a GPU would have to be waited for.
class DeviceLabelTest : public DeviceSoftmaxCrossEntropyTest {};

TEST_P(DeviceLabelTest, LabelsOutsideTheRangeGiveNan) {
    for (const int64_t wrong : {int64_t{-1}, int64_t{10}, std::numeric_limits<int64_t>::max()}) {
        const Tensor logits = random({3, 10}, 1), label = labels({3, wrong, 9});
        Tensor p;
        const Tensor losses = device().softmax_cross_entropy(logits, label, p).cpu();
        const Tensor grad = device().softmax_cross_entropy_grad(on(Tensor::full({3}, 1.0f)), p, label).cpu();
        const Tensor odds = device().log_odds_grad(logits, label, on(Tensor::full({3}, 1.0f)), 1.0f).cpu();
        for (int64_t n = 0; n < 3; ++n) {
            EXPECT_EQ(std::isnan(losses.rows(n, n + 1).item()), n == 1);
            for (int64_t c = 0; c < 10; ++c) {
                EXPECT_EQ(std::isnan(grad.data()[n * 10 + c]), n == 1);
                EXPECT_EQ(std::isnan(odds.data()[n * 10 + c]), n == 1);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceLabelTest, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
