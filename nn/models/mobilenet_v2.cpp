#include <algorithm>
#include <deque>
#include <optional>

#include "nn/layers.h"
#include "nn/models/models.h"

namespace lethe {
namespace {

// The nearest multiple of 8, but at least 8 and not less than 0.9 channels (as the authors' code rounds).
int64_t rounded(double channels) {
    constexpr int64_t step = 8;
    const int64_t nearest = std::max(step, static_cast<int64_t>(channels + step / 2.0) / step * step);
    return static_cast<double>(nearest) < 0.9 * channels ? nearest + step : nearest;
}

// x + project(depthwise(expand(x))): wide inside, narrow and linear outside.
class InvertedResidual : public Module {
public:
    InvertedResidual(Initializer& init, int64_t in, int64_t out, int64_t stride, int64_t expansion)
        : residual_(stride == 1 && in == out) {
        const int64_t inner = in * expansion;
        if (expansion != 1) add(init, in, inner, 1, 1, 1);
        add(init, inner, inner, 3, stride, inner);
        const std::string last = std::to_string(layers_.size());
        project_.emplace(init, "conv." + last, "conv." + std::to_string(layers_.size() + 1), inner, out, 1, 1);
        add_child("", *project_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        Var y = x;
        for (ConvBn& layer : layers_) y = layer.forward(y, Var(), Activation::relu6, mode);
        return project_->forward(y, residual_ ? x : Var(), Activation::none, mode);
    }

private:
    void add(Initializer& init, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups) {
        const std::string name = "conv." + std::to_string(layers_.size());
        layers_.emplace_back(init, name + ".0", name + ".1", in, out, kernel, stride, groups);
        add_child("", layers_.back());
    }

    bool residual_;
    std::deque<ConvBn> layers_;  // modules do not move
    std::optional<ConvBn> project_;
};

class MobileNetV2 : public Module {
public:
    MobileNetV2(const ModelSpec& spec, Seed seed, const MobileNetV2Config& config)
        : init_(seed), dropout_(config.dropout) {
        int64_t in = rounded(32 * config.width);
        first_.emplace(init_, "features.0.0", "features.0.1", 3, in, 3, spec.stem == "cifar" ? 1 : 2);
        add_child("", *first_);
        for (const MobileNetV2Config::Stage& stage : config.stages) {
            const int64_t out = rounded(static_cast<double>(stage.channels) * config.width);
            for (int64_t i = 0; i < stage.blocks; ++i) {
                blocks_.emplace_back(init_, in, out, i == 0 ? stage.stride : 1, stage.expansion);
                add_child("features." + std::to_string(blocks_.size()), blocks_.back());
                in = out;
            }
        }
        const int64_t features = rounded(1280 * std::max(1.0, config.width));
        const std::string last = "features." + std::to_string(blocks_.size() + 1);
        last_.emplace(init_, last + ".0", last + ".1", in, features, 1, 1);
        add_child("", *last_);
        head_.emplace(init_.normal({spec.classes, features}, 0.01f), Tensor::zeros({spec.classes}));
        add_child("classifier.0", dropout_);
        add_child("classifier.1", *head_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        Var y = first_->forward(x, Var(), Activation::relu6, mode);
        for (InvertedResidual& block : blocks_) y = block(y, mode);
        y = last_->forward(y, Var(), Activation::relu6, mode);
        return (*head_)(dropout_.forward(global_avg_pool(y), mode), mode);
    }

private:
    Initializer init_;
    std::optional<ConvBn> first_, last_;
    std::deque<InvertedResidual> blocks_;
    DropoutLayer dropout_;
    std::optional<Linear> head_;
};

}  // namespace

std::unique_ptr<Module> build_mobilenet_v2(const ModelSpec& spec, Seed seed, const MobileNetV2Config& config) {
    return std::make_unique<MobileNetV2>(spec, seed, config);
}

}  // namespace lethe
