#include <deque>
#include <optional>

#include "nn/layers.h"
#include "nn/models/models.h"

namespace lethe {
namespace {

class Block : public Module {
public:
    Block(Initializer& init, int64_t in, int64_t width, int64_t stride, bool bottleneck) {
        const int64_t out = bottleneck ? 4 * width : width;
        const int64_t kernels[] = {1, 3, 1};
        const int convolutions = bottleneck ? 3 : 2;
        int64_t channels = in;
        for (int i = 0; i < convolutions; ++i) {
            const std::string number = std::to_string(i + 1);
            const bool strided = bottleneck ? i == 1 : i == 0;
            const int64_t to = i + 1 == convolutions ? out : width;
            layers_.emplace_back(init, "conv" + number, "bn" + number, channels, to, bottleneck ? kernels[i] : 3,
                                 strided ? stride : 1);
            add_child("", layers_.back());
            channels = to;
        }
        if (stride != 1 || in != out) {
            downsample_.emplace(init, "downsample.0", "downsample.1", in, out, 1, stride);
            add_child("", *downsample_);
        }
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        const Var shortcut = downsample_ ? downsample_->forward(x, Var(), Activation::none, mode) : x;
        Var y = x;
        for (ConvBn& layer : layers_) {
            const bool last = &layer == &layers_.back();
            y = layer.forward(y, last ? shortcut : Var(), Activation::relu, mode);
        }
        return y;
    }

private:
    std::deque<ConvBn> layers_;
    std::optional<ConvBn> downsample_;
};

class ResNet : public Module {
public:
    ResNet(const ModelSpec& spec, Seed seed, const std::vector<int64_t>& blocks, bool bottleneck, int64_t width)
        : init_(seed),
          max_pool_(spec.stem != "cifar"),
          stem_(init_, "conv1", "bn1", 3, width, spec.stem == "imagenet" ? 7 : 3, spec.stem == "imagenet" ? 2 : 1) {
        add_child("", stem_);
        int64_t in = width;
        for (std::size_t stage = 0; stage < blocks.size(); ++stage, width *= 2) {
            for (int64_t i = 0; i < blocks[stage]; ++i) {
                blocks_.emplace_back(init_, in, width, stage > 0 && i == 0 ? 2 : 1, bottleneck);
                add_child("layer" + std::to_string(stage + 1) + "." + std::to_string(i), blocks_.back());
                in = bottleneck ? 4 * width : width;
            }
        }
        head_.emplace(init_, in, spec.classes);
        add_child("fc", *head_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        Var y = stem_(x, mode);
        if (max_pool_) y = max_pool2d(y, {.kernel = 3, .stride = 2, .pad = 1});
        for (Block& block : blocks_) y = block(y, mode);
        return (*head_)(global_avg_pool(y), mode);
    }

private:
    Initializer init_;
    bool max_pool_;
    ConvBn stem_;
    std::deque<Block> blocks_;  // modules do not move
    std::optional<Linear> head_;
};

}  // namespace

std::unique_ptr<Module> build_resnet(const ModelSpec& spec, Seed seed, const std::vector<int64_t>& blocks,
                                     bool bottleneck, int64_t width) {
    return std::make_unique<ResNet>(spec, seed, blocks, bottleneck, width);
}

}  // namespace lethe
