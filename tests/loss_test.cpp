#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/cpu.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

std::vector<int64_t> some_labels(int64_t rows, int64_t classes) {
    std::vector<int64_t> labels;
    for (int64_t n = 0; n < rows; ++n) labels.push_back((n * 7 + 3) % classes);
    return labels;
}

class LossTest : public IsaTest {};

TEST_P(LossTest, AgreesWithTheOracle) {
    struct Case {
        int64_t rows, classes;
        float scale;
    };
    for (const auto& [rows, classes, scale] :
         {Case{16, 10, 3.0f}, Case{1, 1, 1.0f}, Case{33, 100, 10.0f}, Case{5, 17, 1.0f}, Case{7, 1000, 30.0f}}) {
        SCOPED_TRACE(concat(rows, " rows, ", classes, " classes"));
        const std::vector<int64_t> labels = some_labels(rows, classes);
        const Tensor logits = random_tensor({rows, classes}, 1, scale), label = Tensor::from_int64({rows}, labels);
        const Tensor g = random_tensor({rows}, 2);
        const auto results = same_for_any_threads([&] {
            Tensor p;
            const Tensor loss = cpu->softmax_cross_entropy(logits, label, p);
            return std::vector{loss, p, cpu->softmax_cross_entropy_grad(g, p, label)};
        });
        Array p({rows, classes});
        const Array loss = reference::softmax_cross_entropy(Array(logits), labels, p);
        EXPECT_TRUE(close(results[0].to_nchw(), loss, reduction));
        EXPECT_TRUE(close(results[1].to_nchw(), p, reduction, scale));
        for (int64_t n = 0; n < rows; ++n) {
            p.at(n, labels[static_cast<std::size_t>(n)]) -= 1.0;
            for (int64_t c = 0; c < classes; ++c) p.at(n, c) *= static_cast<double>(g.data()[n]);
        }
        EXPECT_TRUE(close(results[2].to_nchw(), p, reduction, scale));
    }
}

TEST_P(LossTest, LargeLogitsNeitherOverflowNorVanish) {
    const Tensor logits = Tensor::from_nchw({3, 2}, std::vector<float>{1e30f, -1e30f, -1e5f, -1e5f, 1000.0f, 999.0f});
    Tensor p;
    const Tensor loss = cpu->softmax_cross_entropy(logits, Tensor::from_int64({3}, std::vector<int64_t>{0, 1, 1}), p);
    EXPECT_FLOAT_EQ(loss.data()[0], 0.0f);
    EXPECT_FLOAT_EQ(loss.data()[1], std::log(2.0f));
    EXPECT_FLOAT_EQ(loss.data()[2], 1.3132617f);  // log(1 + e)
}

// A confident, correct prediction has a small loss, and it must keep its digits: log(1 + e^-20).
TEST_P(LossTest, SmallLossesKeepTheirDigits) {
    const Tensor logits = Tensor::from_nchw({1, 2}, std::vector<float>{10.0f, -10.0f});
    Tensor p;
    const Tensor loss = cpu->softmax_cross_entropy(logits, Tensor::from_int64({1}, std::vector<int64_t>{0}), p);
    EXPECT_NEAR(loss.item(), 2.0611536e-9f, 1e-12f);
}

TEST_P(LossTest, NanLogitsGiveNanLoss) {
    for (const std::size_t position : {std::size_t{0}, std::size_t{1}, std::size_t{9}}) {
        std::vector<float> row(10, 1.0f);
        row[position] = std::numeric_limits<float>::quiet_NaN();
        Tensor p;
        const Tensor labels = Tensor::from_int64({1}, std::vector<int64_t>{3});
        EXPECT_TRUE(std::isnan(cpu->softmax_cross_entropy(Tensor::from_nchw({1, 10}, row), labels, p).item()));
    }
}

TEST_P(LossTest, WarmCallsTakeNoMemory) {
    const Tensor logits = random_tensor({40, 10}, 1), labels = Tensor::from_int64({40}, some_labels(40, 10));
    expect_steady([&] {
        Tensor p;
        const Tensor loss = cpu->softmax_cross_entropy(logits, labels, p);
        cpu->softmax_cross_entropy_grad(loss, p, labels);
    });
}

INSTANTIATE_TEST_SUITE_P(Isa, LossTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
