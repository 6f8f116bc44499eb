#include <gtest/gtest.h>

#include "tests/support/cpu.h"
#include "tests/support/reference_optimizer.h"

namespace lethe::test {
namespace {

using reference::Array;

constexpr int steps = 4;
const std::vector<int64_t> lengths = {1, 10, 16, 17, 1000, 70001};

struct Setting {
    bool penalty;
    float weight_decay, momentum;
    bool nesterov;
};
const std::vector<Setting> settings = {{false, 0.0f, 0.0f, false}, {false, 1e-2f, 0.9f, false},
                                       {false, 0.0f, 0.9f, true},  {true, 0.0f, 0.0f, false},
                                       {true, 1e-2f, 0.9f, false}, {true, 5e-3f, 0.8f, true}};

struct Problem {
    explicit Problem(int64_t n)
        : theta(random_tensor({n}, 1)), anchor(random_tensor({n}, 2)), weight(random_tensor({n}, 3)) {
        for (uint64_t step = 0; step < steps; ++step) grads.push_back(random_tensor({n}, 10 + step));
    }
    Penalty penalty(bool on) const { return on ? Penalty{weight, anchor} : Penalty{}; }

    Tensor theta, anchor, weight;
    std::vector<Tensor> grads;
};

class OptimizerKernelsTest : public IsaTest {};

TEST_P(OptimizerKernelsTest, SgdFollowsItsFormula) {
    for (const int64_t n : lengths)
        for (const Setting& s : settings) {
            const Problem p(n);
            Sgd op{0.1f, s.momentum, s.nesterov, true, 0.3f};
            const auto results = same_for_any_threads([&] {
                SgdItem item{p.theta.clone(), {}, Tensor::full({n}, 1e9f), p.penalty(s.penalty), s.weight_decay};
                for (int step = 0; step < steps; ++step) {
                    item.grad = p.grads[static_cast<std::size_t>(step)];
                    op.first_step = step == 0;  // what momentum held before must not matter
                    cpu->sgd({&item, 1}, op);
                }
                return std::vector{item.param};
            });
            Array theta(p.theta), momentum(p.theta.shape());
            for (const Tensor& grad : p.grads)
                reference::sgd(theta, Array(grad), momentum, p.penalty(s.penalty), s.weight_decay, op);
            EXPECT_TRUE(close(results[0].to_nchw(), theta, reduction, steps)) << n;
        }
}

TEST_P(OptimizerKernelsTest, AdamFollowsItsFormula) {
    for (const int64_t n : lengths)
        for (const Setting& s : settings) {
            const Problem p(n);
            Adam op;
            op.lr = 0.01f;
            op.lambda = 0.3f;
            const auto results = same_for_any_threads([&] {
                AdamItem item{p.theta.clone(), {}, Tensor::zeros({n}), Tensor::zeros({n}), p.penalty(s.penalty),
                              s.weight_decay};
                for (int step = 0; step < steps; ++step) {
                    item.grad = p.grads[static_cast<std::size_t>(step)];
                    op.step = step + 1;
                    cpu->adam({&item, 1}, op);
                }
                return std::vector{item.param};
            });
            Array theta(p.theta), m(p.theta.shape()), v(p.theta.shape());
            for (int step = 0; step < steps; ++step) {
                op.step = step + 1;
                reference::adam(theta, Array(p.grads[static_cast<std::size_t>(step)]), m, v, p.penalty(s.penalty),
                                s.weight_decay, op);
            }
            EXPECT_TRUE(close(results[0].to_nchw(), theta, reduction, steps)) << n;
        }
}

TEST_P(OptimizerKernelsTest, SeveralTensorsInOneStepRaiseTheirVersions) {
    std::vector<SgdItem> items;
    for (int64_t n = 1; n < 5; ++n) items.push_back({random_tensor({n}, 1), Tensor::full({n}, 2.0f), {}, {}, 0.0f});
    std::vector<Tensor> before;
    std::vector<uint64_t> versions;
    for (const SgdItem& item : items) {
        before.push_back(item.param.clone());
        versions.push_back(item.param.version());
    }
    cpu->sgd(items, Sgd{0.5f});
    for (std::size_t i = 0; i < items.size(); ++i) {
        EXPECT_GT(items[i].param.version(), versions[i]);
        EXPECT_FLOAT_EQ(items[i].param.data()[0], before[i].data()[0] - 1.0f);
    }
}

TEST_P(OptimizerKernelsTest, WarmCallsTakeNoMemory) {
    const Problem p(70001);
    SgdItem item{p.theta.clone(), p.grads[0], Tensor::zeros({70001}), p.penalty(true), 1e-4f};
    expect_steady([&] { cpu->sgd({&item, 1}, Sgd{0.1f, 0.9f, false, false, 0.1f}); });
}

INSTANTIATE_TEST_SUITE_P(Isa, OptimizerKernelsTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
