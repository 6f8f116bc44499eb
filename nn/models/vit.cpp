#include <cmath>
#include <deque>

#include "nn/layers.h"
#include "nn/models/models.h"
#include "tensor/error.h"

namespace lethe {
namespace {

constexpr float torchvision_eps = 1e-6f;

// x + attention(norm(x)), then x + mlp(norm(x)).
class EncoderBlock : public Module {
public:
    EncoderBlock(Initializer& init, const ViTConfig& config)
        : norm1_(config.hidden, torchvision_eps),
          attention_(init, config.hidden, config.heads),
          norm2_(config.hidden, torchvision_eps),
          widen_(init.glorot_uniform(config.mlp, config.hidden), init.normal({config.mlp}, 1e-6f)),
          narrow_(init.glorot_uniform(config.hidden, config.mlp), init.normal({config.hidden}, 1e-6f)) {
        add_child("ln_1", norm1_);
        add_child("self_attention", attention_);
        add_child("ln_2", norm2_);
        add_child("mlp.0", widen_);
        add_child("mlp.3", narrow_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        const Var y = add(x, attention_.forward(norm1_.forward(x, mode), mode));
        return add(y, narrow_.forward(gelu(widen_.forward(norm2_.forward(y, mode), mode)), mode));
    }

private:
    LayerNorm norm1_;
    SelfAttention attention_;
    LayerNorm norm2_;
    Linear widen_, narrow_;
};

// "pos_embedding", "layers.encoder_layer_N" and "ln". Of the last norm's tokens only the first is wanted.
class Encoder : public Module {
public:
    Encoder(Initializer& init, const ViTConfig& config, int64_t tokens)
        : position(add_parameter("pos_embedding", init.normal({1, tokens, config.hidden}, 0.02f))),
          norm_(config.hidden, torchvision_eps) {
        for (int64_t i = 0; i < config.layers; ++i) {
            blocks_.emplace_back(init, config);
            add_child("layers.encoder_layer_" + std::to_string(i), blocks_.back());
        }
        add_child("ln", norm_);
    }

    Var forward(const Var& tokens, BatchNormMode mode) override {
        Var x = tokens;
        for (EncoderBlock& block : blocks_) x = block(x, mode);
        return norm_.forward(first_token(x), mode);
    }

    Var position;

private:
    std::deque<EncoderBlock> blocks_;  // modules do not move
    LayerNorm norm_;
};

class VisionTransformer : public Module {
public:
    VisionTransformer(const ModelSpec& spec, Seed seed, const ViTConfig& config)
        : init_(seed),
          size_(spec.image_size),
          class_token_(add_parameter("class_token", Tensor::zeros({1, 1, config.hidden}))),
          embed_(init_.normal({config.hidden, 3, config.patch, config.patch},
                              std::sqrt(1.0f / static_cast<float>(3 * config.patch * config.patch))),
                 {.stride = config.patch}),
          encoder_(init_, config, 1 + (size_ / config.patch) * (size_ / config.patch)),
          head_(Tensor::zeros({spec.classes, config.hidden}), Tensor::zeros({spec.classes})) {
        add_child("conv_proj", embed_);
        add_child("encoder", encoder_);
        add_child("heads.head", head_);
    }

    Var forward(const Var& x, BatchNormMode mode) override {
        check(x.shape()[2] == size_ && x.shape()[3] == size_, "this vision transformer has position embeddings for ",
              size_, "x", size_, " pixels, but the images have ", x.shape()[2], "x", x.shape()[3],
              "; give it images of its size, or train one for theirs (--image-size)");
        return head_(encoder_.forward(tokens(embed_.forward(x, mode), class_token_, encoder_.position), mode), mode);
    }

private:
    Initializer init_;
    int64_t size_;
    Var class_token_;
    ConvBias embed_;
    Encoder encoder_;
    Linear head_;
};

}  // namespace

std::unique_ptr<Module> build_vit(const ModelSpec& spec, Seed seed, const ViTConfig& config) {
    check(spec.image_size >= config.patch && spec.image_size % config.patch == 0, "model ", spec.arch,
          ": the image size must be a multiple of the patch size, ", config.patch, ", got ", spec.image_size);
    return std::make_unique<VisionTransformer>(spec, seed, config);
}

}  // namespace lethe
