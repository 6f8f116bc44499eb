#include <deque>

#include "nn/layers.h"
#include "nn/models/models.h"

namespace lethe {
namespace {

// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))
class CifarBlock : public Module {
public:
    CifarBlock(Initializer& init, int64_t in, int64_t out, int64_t stride)
        : first_(init, "conv1", "bn1", in, out, 3, stride),
          second_(init, "conv2", "bn2", out, out, 3, 1),
          out_(out),
          stride_(stride),
          identity_(in == out && stride == 1) {
        add_child("", first_);
        add_child("", second_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        const Var shortcut = identity_ ? x : shortcut_a(x, out_, stride_);
        return second_.forward(first_.forward(x, mode), shortcut, Activation::relu, mode);
    }

private:
    ConvBn first_, second_;
    int64_t out_, stride_;
    bool identity_;
};

class ResNetCifar : public Module {
public:
    ResNetCifar(const ModelSpec& spec, Seed seed, int64_t depth)
        : init_(seed), stem_(init_, "conv1", "bn1", 3, 16, 3, 1), head_(init_, 64, spec.classes) {
        add_child("", stem_);
        const int64_t blocks_per_stage = (depth - 2) / 6;
        int64_t in = 16;
        for (int stage = 1; stage <= 3; ++stage) {
            const int64_t out = int64_t{8} << stage;
            for (int64_t i = 0; i < blocks_per_stage; ++i) {
                blocks_.emplace_back(init_, in, out, stage > 1 && i == 0 ? 2 : 1);
                add_child("layer" + std::to_string(stage) + "." + std::to_string(i), blocks_.back());
                in = out;
            }
        }
        add_child("linear", head_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        Var y = stem_(x, mode);
        for (CifarBlock& block : blocks_) y = block(y, mode);
        return head_(global_avg_pool(y), mode);
    }

private:
    Initializer init_;
    ConvBn stem_;
    std::deque<CifarBlock> blocks_;  // modules do not move
    Linear head_;
};

}  // namespace

std::unique_ptr<Module> build_resnet_cifar(const ModelSpec& spec, Seed seed, int64_t depth) {
    return std::make_unique<ResNetCifar>(spec, seed, depth);
}

}  // namespace lethe
