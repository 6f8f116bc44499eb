#include <deque>
#include <optional>

#include "nn/layers.h"
#include "nn/models/models.h"

namespace lethe {
namespace {

ConvBias convolution(Initializer& init, int64_t in, int64_t out, int64_t kernel, const Conv2d& op) {
    return ConvBias(init.he_uniform({out, in, kernel, kernel}, in * kernel * kernel), op);
}

// relu(1x1) and relu(3x3) of relu(squeeze(x)), side by side.
class Fire : public Module {
public:
    Fire(Initializer& init, int64_t in, const SqueezeNetConfig::Layer& size)
        : squeeze_(convolution(init, in, size.squeeze, 1, {})),
          expand1x1_(convolution(init, size.squeeze, size.expand, 1, {})),
          expand3x3_(convolution(init, size.squeeze, size.expand, 3, {.pad = 1})) {
        add_child("squeeze", squeeze_);
        add_child("expand1x1", expand1x1_);
        add_child("expand3x3", expand3x3_);
    }

    Var forward(const Var& x, BatchNormMode /*mode*/) override {
        const Var y = squeeze_.forward(x, true);
        return concat_channels({expand1x1_.forward(y, true), expand3x3_.forward(y, true)});
    }

private:
    ConvBias squeeze_, expand1x1_, expand3x3_;
};

class SqueezeNet : public Module {
public:
    SqueezeNet(const ModelSpec& spec, Seed seed, const SqueezeNetConfig& config)
        : init_(seed),
          cifar_(spec.stem == "cifar"),
          first_(cifar_ ? convolution(init_, 3, config.channels, 3, {.pad = 1})
                        : convolution(init_, 3, config.channels, config.kernel, {.stride = 2})),
          dropout_(config.dropout) {
        add_child("features.0", first_);
        int64_t in = config.channels;
        for (const SqueezeNetConfig::Layer& layer : config.layers) {
            std::optional<Fire>& fire = layers_.emplace_back();
            if (layer.expand == 0) continue;
            fire.emplace(init_, in, layer);
            add_child("features." + std::to_string(layers_.size() + 2), *fire);
            in = 2 * layer.expand;
        }
        classifier_.emplace(init_.normal({spec.classes, in, 1, 1}, 0.01f), Conv2d{});
        add_child("classifier.0", dropout_);
        add_child("classifier.1", *classifier_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        Var y = first_.forward(x, true);
        if (!cifar_) y = pooled(y);
        for (std::optional<Fire>& layer : layers_) y = layer ? (*layer)(y, mode) : pooled(y);
        return global_avg_pool(relu((*classifier_)(dropout_.forward(y, mode), mode)));
    }

private:
    static Var pooled(const Var& x) { return max_pool2d(x, {.kernel = 3, .stride = 2, .ceil = true}); }

    Initializer init_;
    bool cifar_;
    ConvBias first_;
    std::deque<std::optional<Fire>> layers_;  // empty: a pooling. Modules do not move
    DropoutLayer dropout_;
    std::optional<ConvBias> classifier_;
};

}  // namespace

SqueezeNetConfig squeezenet1_0() {
    return {
        96, 7, {{16, 64}, {16, 64}, {32, 128}, {0, 0}, {32, 128}, {48, 192}, {48, 192}, {64, 256}, {0, 0}, {64, 256}}};
}

SqueezeNetConfig squeezenet1_1() {
    return {
        64, 3, {{16, 64}, {16, 64}, {0, 0}, {32, 128}, {32, 128}, {0, 0}, {48, 192}, {48, 192}, {64, 256}, {64, 256}}};
}

std::unique_ptr<Module> build_squeezenet(const ModelSpec& spec, Seed seed, const SqueezeNetConfig& config) {
    return std::make_unique<SqueezeNet>(spec, seed, config);
}

}  // namespace lethe
