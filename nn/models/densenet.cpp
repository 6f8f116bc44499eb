#include <deque>
#include <optional>

#include "nn/layers.h"
#include "nn/models/models.h"

namespace lethe {
namespace {

Tensor weights(Initializer& init, int64_t in, int64_t out, int64_t kernel) {
    return init.he_normal({out, in, kernel, kernel}, in * kernel * kernel);
}

// What all layers before gave, and behind it `growth` channels of conv2(relu(norm2(conv1(relu(norm1(x)))))).
class DenseLayer : public Module {
public:
    DenseLayer(Initializer& init, int64_t in, const DenseNetConfig& config)
        : norm1_(in),
          conv1_("conv1", "norm2", weights(init, in, config.bottleneck * config.growth, 1), {}),
          conv2_(weights(init, config.bottleneck * config.growth, config.growth, 3), {.pad = 1}) {
        add_child("norm1", norm1_);
        add_child("", conv1_);
        add_child("conv2", conv2_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        const Var normed = norm1_.forward(x, Var(), true, mode);
        return concat_channels({x, conv2_.forward(conv1_.forward(normed, mode), mode)});
    }

private:
    BatchNorm2d norm1_;
    ConvBn conv1_;  // with norm2 behind it
    Conv2dLayer conv2_;
};

// Half the channels, half the width and height.
class Transition : public Module {
public:
    Transition(Initializer& init, int64_t in) : norm_(in), conv_(weights(init, in, in / 2, 1), {}) {
        add_child("norm", norm_);
        add_child("conv", conv_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        return avg_pool2d(conv_.forward(norm_.forward(x, Var(), true, mode), mode), {.kernel = 2, .stride = 2});
    }

private:
    BatchNorm2d norm_;
    Conv2dLayer conv_;
};

class DenseNet : public Module {
public:
    DenseNet(const ModelSpec& spec, Seed seed, const DenseNetConfig& config)
        : init_(seed),
          cifar_(spec.stem == "cifar"),
          first_("features.conv0", "features.norm0", weights(init_, 3, config.initial, cifar_ ? 3 : 7),
                 cifar_ ? Conv2d{.stride = 1, .pad = 1} : Conv2d{.stride = 2, .pad = 3}) {
        add_child("", first_);
        int64_t channels = config.initial;
        for (std::size_t block = 0; block < config.blocks.size(); ++block) {
            const std::string number = std::to_string(block + 1);
            for (int64_t i = 0; i < config.blocks[block]; ++i) {
                DenseLayer& layer = layers_.emplace_back(init_, channels, config);
                add_child("features.denseblock" + number + ".denselayer" + std::to_string(i + 1), layer);
                order_.push_back(&layer);
                channels += config.growth;
            }
            if (block + 1 == config.blocks.size()) break;
            Transition& transition = transitions_.emplace_back(init_, channels);
            add_child("features.transition" + number, transition);
            order_.push_back(&transition);
            channels /= 2;
        }
        last_.emplace(channels);
        add_child("features.norm5", *last_);
        head_.emplace(init_.uniform({spec.classes, channels}, channels), Tensor::zeros({spec.classes}));
        add_child("classifier", *head_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        Var y = first_(x, mode);
        if (!cifar_) y = max_pool2d(y, {.kernel = 3, .stride = 2, .pad = 1});
        for (Module* part : order_) y = (*part)(y, mode);
        return (*head_)(global_avg_pool(last_->forward(y, Var(), true, mode)), mode);
    }

private:
    Initializer init_;
    bool cifar_;
    ConvBn first_;
    std::deque<DenseLayer> layers_;  // modules do not move
    std::deque<Transition> transitions_;
    std::vector<Module*> order_;
    std::optional<BatchNorm2d> last_;
    std::optional<Linear> head_;
};

}  // namespace

std::unique_ptr<Module> build_densenet(const ModelSpec& spec, Seed seed, const DenseNetConfig& config) {
    return std::make_unique<DenseNet>(spec, seed, config);
}

}  // namespace lethe
