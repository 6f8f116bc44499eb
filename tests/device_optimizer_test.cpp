#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference_optimizer.h"

namespace lethe::test {
namespace {

using reference::Array;

constexpr int steps = 3;

struct Setting {
    bool penalty;
    float weight_decay, momentum;
    bool nesterov;
};
const std::vector<Setting> settings = {{false, 0.0f, 0.0f, false}, {false, 1e-2f, 0.9f, false},
                                       {false, 0.0f, 0.9f, true},  {true, 0.0f, 0.0f, false},
                                       {true, 1e-2f, 0.9f, false}, {true, 5e-3f, 0.8f, true}};

// One parameter with everything it needs, on the device, and what the oracle makes of it.
struct Parameter {
    Tensor theta, grad, weight, anchor, state1, state2;
    float weight_decay;
    Array expected, expected1, expected2;

    Penalty penalty(bool on) const { return on ? Penalty{weight, anchor} : Penalty{}; }
};

class DeviceOptimizerTest : public DeviceTest {
protected:
    // Tensors of many sizes, as a network has: below a pack, across a block's chunk of elements, convolutions. Each
    // also with all its arrays at addresses that are no multiple of 16 bytes, and one with each array alone so.
    std::vector<Parameter> parameters(float weight_decay) {
        constexpr unsigned arrays = 6, all_odd = (1u << arrays) - 1;
        std::vector<Parameter> all;
        for (const Shape& shape : {Shape{1}, Shape{3}, Shape{16}, Shape{17}, Shape{16, 3, 3, 3}, Shape{10, 65},
                                   Shape{4096}, Shape{10001}, Shape{0}})
            for (const unsigned odd : {0u, all_odd}) all.push_back(parameter(shape, weight_decay, odd));
        for (unsigned i = 0; i < arrays; ++i) all.push_back(parameter({50}, weight_decay, 1u << i));
        return all;
    }

    // Array i starts 4 bytes or more past a multiple of 16 where bit i of `odd` is set: after a first row.
    Parameter parameter(const Shape& shape, float weight_decay, unsigned odd) {
        const auto rows = [&](unsigned i, Tensor larger) {
            return larger.rows(odd >> i & 1, (odd >> i & 1) + shape[0]);
        };
        const Shape larger = shape.with_rows(shape[0] + 1);
        const auto contents = [&](unsigned i) { return rows(i, random(larger, i).clone()); };
        const auto zeros = [&](unsigned i) {
            return rows(i, Tensor::zeros(larger, DType::float32, device().device()));
        };
        Parameter p{contents(0), contents(1),  contents(2),  contents(3),  zeros(4),
                    zeros(5),    weight_decay, Array(shape), Array(shape), Array(shape)};
        p.expected = Array(p.theta);
        return p;
    }

    void new_gradients(std::vector<Parameter>& all, uint64_t step) {
        for (Parameter& p : all) p.grad.copy_from(random_tensor(p.theta.shape(), 10 + step));
    }

    void step_sgd(std::vector<Parameter>& all, const Setting& s, const Sgd& op) {
        std::vector<SgdItem> items;
        for (const Parameter& p : all)
            items.push_back(
                {p.theta, p.grad, op.momentum != 0 ? p.state1 : Tensor(), p.penalty(s.penalty), p.weight_decay});
        device().sgd(items, op);
    }
    void step_adam(std::vector<Parameter>& all, const Setting& s, const Adam& op) {
        std::vector<AdamItem> items;
        for (const Parameter& p : all)
            items.push_back({p.theta, p.grad, p.state1, p.state2, p.penalty(s.penalty), p.weight_decay});
        device().adam(items, op);
    }
    static void expect_close(const std::vector<Parameter>& all) {
        for (const Parameter& p : all)
            EXPECT_TRUE(close(p.theta.to_nchw(), p.expected, reduction, steps)) << p.theta.shape();
    }
};

TEST_P(DeviceOptimizerTest, SgdFollowsItsFormula) {
    for (const Setting& s : settings) {
        std::vector<Parameter> all = parameters(s.weight_decay);
        for (Parameter& p : all) p.state1.fill(1e9f);  // what momentum held before the first step must not matter
        Sgd op{.lr = 0.1f, .momentum = s.momentum, .nesterov = s.nesterov, .first_step = true, .lambda = 0.3f};
        for (int step = 0; step < steps; ++step) {
            new_gradients(all, static_cast<uint64_t>(step));
            op.first_step = step == 0;
            step_sgd(all, s, op);
            for (Parameter& p : all)
                reference::sgd(p.expected, Array(p.grad), p.expected1, p.penalty(s.penalty), p.weight_decay, op);
        }
        expect_close(all);
    }
}

TEST_P(DeviceOptimizerTest, AdamFollowsItsFormula) {
    for (const Setting& s : settings) {
        std::vector<Parameter> all = parameters(s.weight_decay);
        Adam op{.lr = 0.01f, .lambda = 0.3f};
        for (int step = 0; step < steps; ++step) {
            new_gradients(all, static_cast<uint64_t>(step));
            op.step = step + 1;
            step_adam(all, s, op);
            for (Parameter& p : all)
                reference::adam(p.expected, Array(p.grad), p.expected1, p.expected2, p.penalty(s.penalty),
                                p.weight_decay, op);
        }
        expect_close(all);
    }
}

// Gradients of N(0,1): some are cut at 1.
TEST_P(DeviceOptimizerTest, ClippedGradientsAndDecoupledDecay) {
    const Setting s{true, 1e-2f, 0.9f, false};
    std::vector<Parameter> by_sgd = parameters(s.weight_decay), by_adamw = parameters(s.weight_decay);
    const GradientClip clip{.value = 1.0f, .factor = on(Tensor::from_nchw({2}, std::vector<float>{0.75f, 99.0f}))};
    const Sgd sgd{.lr = 0.1f, .momentum = s.momentum, .lambda = 0.3f, .clip = clip};
    Adam adamw{.lr = 0.1f, .decoupled = true, .lambda = 0.3f, .clip = clip};
    for (int step = 0; step < steps; ++step) {
        new_gradients(by_sgd, static_cast<uint64_t>(step));
        new_gradients(by_adamw, static_cast<uint64_t>(step));
        adamw.step = step + 1;
        step_sgd(by_sgd, s, sgd);
        step_adam(by_adamw, s, adamw);
        for (Parameter& p : by_sgd)
            reference::sgd(p.expected, Array(p.grad), p.expected1, p.penalty(true), p.weight_decay, sgd);
        for (Parameter& p : by_adamw)
            reference::adam(p.expected, Array(p.grad), p.expected1, p.expected2, p.penalty(true), p.weight_decay,
                            adamw);
    }
    expect_close(by_sgd);
    expect_close(by_adamw);
}

// A broken gradient must not look like a healthy one.
TEST_P(DeviceOptimizerTest, ClippingKeepsNan) {
    Tensor theta = on(Tensor::full({3}, 1.0f));
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    const Tensor grad = on(Tensor::from_nchw({3}, std::vector<float>{nan, -infinity, 0.5f}));
    SgdItem item{theta, grad, {}, {}, 0.0f};
    device().sgd({&item, 1}, Sgd{.lr = 1.0f, .clip = {.value = 2.0f}});
    const std::vector<float> after = theta.to_nchw();
    EXPECT_TRUE(std::isnan(after[0]));
    EXPECT_EQ(after[1], 3.0f);
    EXPECT_EQ(after[2], 0.5f);
    Tensor factor = on(Tensor::zeros({2}));
    device().clip_factor(std::vector<Tensor>{grad}, 1.0f, factor);
    EXPECT_TRUE(std::isnan(factor.to_nchw()[0]));
}

// More tensors than one launch holds, of many sizes and at odd addresses.
TEST_P(DeviceOptimizerTest, ClipFactorIsThatOfTheWholeNorm) {
    std::vector<Tensor> grads;
    double squares = 0.0;
    for (int64_t i = 0; i < 200; ++i) {
        const Shape shape{i == 7 ? 10001 : i * 7 % 40, 3};
        const Tensor larger = random(shape.with_rows(shape[0] + 1), static_cast<uint64_t>(i));
        grads.push_back(larger.rows(i % 2, shape[0] + i % 2));
        for (const double value : Array(grads.back()).values) squares += value * value;
    }
    const double norm = std::sqrt(squares);
    for (const double most : {0.5, norm / 2, 2 * norm}) {
        Tensor factor = on(Tensor::zeros({2}));
        device().clip_factor(grads, static_cast<float>(most), factor);
        const std::vector<double> expected{std::min(1.0, static_cast<double>(static_cast<float>(most)) / (norm + 1e-6)),
                                           norm};
        EXPECT_TRUE(close(factor.to_nchw(), expected, elementwise)) << most;
    }
    Tensor factor = on(Tensor::zeros({2}));
    device().clip_factor({}, 1.0f, factor);
    EXPECT_EQ(factor.to_nchw(), (std::vector<float>{1.0f, 0.0f}));
}

TEST_P(DeviceOptimizerTest, MovingAverages) {
    std::vector<Parameter> all = parameters(0.0f);
    std::vector<EmaItem> items;
    for (const Parameter& p : all) items.push_back({p.theta, p.grad});
    const Ema op{.decay = 0.75f, .scalars = {}};
    for (int step = 0; step < steps; ++step) {
        new_gradients(all, static_cast<uint64_t>(step));
        device().ema(items, op);
        for (Parameter& p : all) {
            const Array value(p.grad);
            for (std::size_t i = 0; i < value.values.size(); ++i)
                p.expected.values[i] = 0.75 * p.expected.values[i] + 0.25 * value.values[i];
        }
    }
    expect_close(all);
    std::vector<Parameter> plain = parameters(0.0f), recorded = parameters(0.0f);
    for (std::size_t i = 0; i < plain.size(); ++i) {
        EmaItem from_struct{plain[i].theta, plain[i].grad}, from_memory{recorded[i].theta, recorded[i].grad};
        device().ema({&from_struct, 1}, op);
        device().ema({&from_memory, 1}, {.decay = 0.5f, .scalars = on(Tensor::full({1}, 0.75f))});
        EXPECT_TRUE(identical(recorded[i].theta.cpu(), plain[i].theta.cpu())) << plain[i].theta.shape();
    }
}

// More tensors than one launch holds, each with its own weight decay, some with a penalty.
TEST_P(DeviceOptimizerTest, ManyTensorsInOneStep) {
    std::vector<SgdItem> sgd_items;
    std::vector<AdamItem> adam_items;
    std::vector<Array> after_sgd, after_adam;
    const Sgd sgd{.lr = 0.5f, .momentum = 0.9f, .lambda = 0.2f};
    const Adam adam{.lr = 0.5f, .lambda = 0.2f};
    for (int64_t i = 0; i < 150; ++i) {
        const Shape shape{1 + i * 7 % 40};
        Parameter p = parameter(shape, 0.01f * static_cast<float>(i), 0);
        const Penalty penalty = p.penalty(i % 3 == 0);
        sgd_items.push_back({p.theta.clone(), p.grad, p.state1.clone(), penalty, p.weight_decay});
        adam_items.push_back({p.theta.clone(), p.grad, p.state1, p.state2, penalty, p.weight_decay});
        Array sgd_state(shape), m(shape), v(shape);
        after_sgd.push_back(p.expected);
        reference::sgd(after_sgd.back(), Array(p.grad), sgd_state, penalty, p.weight_decay, sgd);
        after_adam.push_back(p.expected);
        reference::adam(after_adam.back(), Array(p.grad), m, v, penalty, p.weight_decay, adam);
    }
    std::vector<uint64_t> versions;
    for (const SgdItem& item : sgd_items) versions.push_back(item.param.version());
    device().sgd(sgd_items, sgd);
    device().adam(adam_items, adam);
    for (std::size_t i = 0; i < versions.size(); ++i) {
        EXPECT_GT(sgd_items[i].param.version(), versions[i]);
        EXPECT_TRUE(close(sgd_items[i].param.to_nchw(), after_sgd[i], reduction)) << i;
        EXPECT_TRUE(close(adam_items[i].param.to_nchw(), after_adam[i], reduction)) << i;
    }
}

// The values in device memory win over those in the struct, and give the same bits as the struct's would.
TEST_P(DeviceOptimizerTest, ScalarsReplaceTheLearningRate) {
    const Setting s{true, 1e-2f, 0.9f, true};
    std::vector<Parameter> plain = parameters(s.weight_decay), recorded = parameters(s.weight_decay);
    Sgd sgd{.lr = 0.05f, .momentum = s.momentum, .nesterov = s.nesterov, .lambda = 0.3f};
    step_sgd(plain, s, sgd);
    sgd.scalars = on(Tensor::from_nchw({2}, std::vector<float>{0.05f, s.momentum}));
    sgd.lr = 1e9f;
    sgd.momentum = 0.1f;
    step_sgd(recorded, s, sgd);

    Adam adam{.lr = 0.01f, .beta1 = 0.8f, .step = 3, .decoupled = true, .lambda = 0.3f};
    step_adam(plain, s, adam);
    adam.scalars = Tensor::empty({4}, DType::float32, device().device());
    device().set_scalars(adam.scalars,
                         std::vector<float>{adam.step_size(), adam.inv_sqrt_correction2(), adam.lr, adam.beta1});
    adam.lr = 1e9f;
    adam.beta1 = 0.1f;
    adam.step = 1;
    step_adam(recorded, s, adam);
    for (std::size_t i = 0; i < plain.size(); ++i)
        EXPECT_TRUE(identical(recorded[i].theta.cpu(), plain[i].theta.cpu())) << plain[i].theta.shape();
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceOptimizerTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
