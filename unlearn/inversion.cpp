#include "unlearn/inversion.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace lethe {
namespace {

// How a batch lies in a step.
struct Placement {
    int64_t down = 0, right = 0;
    bool mirrored = false;
};

Placement draw_placement(const Random& random, uint64_t item, int64_t height, int64_t width) {
    const auto shift = [&](int64_t side, uint32_t index) {
        const int64_t most = side / 16;
        return random.below(2 * most + 1, item, index) - most;
    };
    return {shift(height, 0), shift(width, 1), random.below(2, item, 2) == 1};
}

// Every pixel of `from` [N,3,H,W] where the placement brings it or, with `back`, where it came from.
Tensor placed(const Tensor& from, const Placement& place, bool back) {
    const int64_t height = from.dim(2), width = from.dim(3), channels = from.dim(1);
    Tensor to = Tensor::empty(from.shape());
    const float* in = from.data();
    float* out = to.mutable_data();
    parallel_for(from.dim(0) * height, [&](int64_t line) {
        const int64_t image = line / height * height, y = (line % height + place.down + height) % height;
        for (int64_t column = 0; column < width; ++column) {
            int64_t x = (column + place.right + width) % width;
            if (place.mirrored) x = width - 1 - x;
            const int64_t here = (line * width + column) * channels, there = ((image + y) * width + x) * channels;
            std::copy_n(in + (back ? there : here), channels, out + (back ? here : there));
        }
    });
    return to;
}

void clamp_pixels(Tensor& images) {
    float* pixels = images.mutable_data();
    const int64_t rows = images.dim(0), size = images.numel() / rows;
    parallel_for(rows, [&](int64_t row) {
        for (int64_t i = row * size; i < (row + 1) * size; ++i) pixels[i] = std::clamp(pixels[i], 0.0f, 1.0f);
    });
}

// A window of an image, in pixels; not whole ones.
struct CropWindow {
    float top, left, height, width;
};

CropWindow draw_window(const Random& random, uint64_t item, int64_t height, int64_t width) {
    const float area = 0.1f + 0.5f * random.uniform(item, 1);
    const float ratio = std::exp((2.0f * random.uniform(item, 2) - 1.0f) * std::log(4.0f / 3.0f));
    const auto h = static_cast<float>(height), w = static_cast<float>(width);
    const float rows = std::min(h, std::sqrt(area * ratio) * h), columns = std::min(w, std::sqrt(area / ratio) * w);
    return {random.uniform(item, 3) * (h - rows), random.uniform(item, 4) * (w - columns), rows, columns};
}

// Where pixel i of `to` lies in `from` pixels of a side of `whole`: the two neighbours and the share of the second.
struct Between {
    int64_t first, second;
    float share;
};

Between between(int64_t i, float begin, float from, int64_t to, int64_t whole) {
    const float at = begin + (static_cast<float>(i) + 0.5f) * from / static_cast<float>(to) - 0.5f;
    const float inside = std::clamp(at, 0.0f, static_cast<float>(whole - 1));
    const auto first = static_cast<int64_t>(inside);
    return {first, std::min(first + 1, whole - 1), inside - static_cast<float>(first)};
}

// value -> (value - 1/2) gain + 1/2 + offset, clamped.
struct Colour {
    float gain, offset;
};

Colour draw_colour(const Random& random, uint64_t item, uint32_t channel) {
    const auto about_zero = [&](uint32_t index) { return 2.0f * random.uniform(item, index) - 1.0f; };
    const float gain = (1.0f + 0.3f * about_zero(6)) * (1.0f + 0.15f * about_zero(8 + channel));
    return {gain, 0.15f * about_zero(7) + 0.075f * about_zero(16 + channel)};
}

// One batch on its way. Pixels and their moments are on the CPU, the network is where it is.
class Batch {
public:
    Batch(Model& model, const InversionOptions& options, const Tensor& start, const std::vector<int64_t>& labels)
        : model_(model),
          options_(options),
          pixels_(start, true),
          labels_(Tensor::from_int64({start.dim(0)}, labels).to(model.device())),
          adam_({{"pixels", pixels_}}, {.name = "adam", .lr = options.lr}) {}

    void step(int64_t number, const Placement& place);
    const Tensor& images() const { return pixels_.value(); }
    double loss() const { return loss_; }
    double statistics() const { return statistics_; }

private:
    Model& model_;
    const InversionOptions& options_;
    Var pixels_;
    Tensor labels_;
    Optimizer adam_;
    double loss_ = 0, statistics_ = 0;
};

void Batch::step(int64_t number, const Placement& place) {
    Var x(placed(pixels_.value(), place, false).to(model_.device()), true);
    Var distance;
    Var logits;
    {
        const BatchNormListener listener([&](const BatchNorm2d& layer, const Var& given) {
            const Var one = statistics_distance(given, layer.running_mean, layer.running_var);
            distance = distance.defined() ? add(distance, one) : one;
        });
        logits = model_.forward(x, BatchNormMode::running);
    }
    const Var loss = mean(softmax_cross_entropy(logits, labels_));
    add(loss, distance).backward();
    loss_ = static_cast<double>(loss.value().item());
    statistics_ = static_cast<double>(distance.value().item());
    pixels_.zero_grad();
    Var::accumulate(pixels_, placed(x.grad().cpu(), place, true));
    const double done = static_cast<double>(number) / static_cast<double>(options_.steps);
    adam_.set_lr(options_.lr * static_cast<float>(0.5 * (1 + std::cos(std::numbers::pi * done))));
    adam_.step();
    clamp_pixels(pixels_.value());
}

// Mean and biased variance of each channel, by the operation that BatchNorm itself uses.
struct Moments {
    std::vector<double> mean, variance;
};

Moments moments_of(const Tensor& x) {
    const int64_t channels = x.dim(1);
    const auto device = x.device();
    Tensor mean = Tensor::zeros({channels}, DType::float32, device), variance = Tensor::full({channels}, 1.0f, device);
    const Tensor one = Tensor::full({channels}, 1.0f, device), zero = Tensor::zeros({channels}, DType::float32, device);
    BatchNormSaved saved;
    const BatchNorm op{.batch_statistics = true, .update_running = false};
    backend(x).batchnorm(x, one, zero, mean, variance, {}, op, saved);
    const Tensor means = saved.mean.cpu(), inverses = saved.inv_std.cpu();
    Moments moments;
    for (int64_t c = 0; c < channels; ++c) {
        const double inverse = static_cast<double>(inverses.data()[c]);
        moments.mean.push_back(static_cast<double>(means.data()[c]));
        moments.variance.push_back(1 / (inverse * inverse) - static_cast<double>(op.eps));
    }
    return moments;
}

// a - b, and its length.
std::pair<std::vector<double>, double> difference(const std::vector<double>& a, const Tensor& b) {
    const Tensor here = b.cpu();
    std::vector<double> d;
    double squares = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        d.push_back(a[i] - static_cast<double>(here.values()[i]));
        squares += d.back() * d.back();
    }
    return {d, std::sqrt(squares)};
}

}  // namespace

void InversionOptions::validate() const {
    check(images >= 1, "inversion: images is ", images, "; it must be >= 1");
    check(steps >= 1, "inversion: steps is ", steps, "; it must be >= 1");
    check(std::isfinite(lr) && lr > 0, "inversion: lr is ", lr, "; it must be a finite number > 0");
}

std::vector<int64_t> inversion_labels(int64_t images, int64_t classes) {
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < images; ++i) labels.push_back(i % classes);
    return labels;
}

Tensor patches(const Tensor& seeds, int64_t count, const Random& random, uint64_t first_item) {
    const int64_t height = seeds.dim(2), width = seeds.dim(3), channels = seeds.dim(1),
                  size = height * width * channels;
    Tensor result = Tensor::empty(seeds.shape().with_rows(count));
    const float* all = seeds.data();
    float* out = result.mutable_data();
    parallel_for(count, [&](int64_t i) {
        const uint64_t item = first_item + static_cast<uint64_t>(i);
        const float* in = all + random.below(seeds.dim(0), item, 0) * size;
        const CropWindow window = draw_window(random, item, height, width);
        const bool mirrored = random.below(2, item, 5) == 1;
        std::vector<Colour> colours;
        for (int64_t c = 0; c < channels; ++c) colours.push_back(draw_colour(random, item, static_cast<uint32_t>(c)));
        for (int64_t y = 0; y < height; ++y) {
            const Between v = between(y, window.top, window.height, height, height);
            for (int64_t column = 0; column < width; ++column) {
                const Between u =
                    between(mirrored ? width - 1 - column : column, window.left, window.width, width, width);
                float* pixel = out + i * size + (y * width + column) * channels;
                for (int64_t c = 0; c < channels; ++c) {
                    const auto value = [&](int64_t row, int64_t at) { return in[(row * width + at) * channels + c]; };
                    const float upper = std::lerp(value(v.first, u.first), value(v.first, u.second), u.share);
                    const float lower = std::lerp(value(v.second, u.first), value(v.second, u.second), u.share);
                    const Colour& colour = colours[static_cast<std::size_t>(c)];
                    pixel[c] = (std::lerp(upper, lower, v.share) - 0.5f) * colour.gain + 0.5f + colour.offset;
                }
            }
        }
    });
    clamp_pixels(result);
    return result;
}

bool has_batchnorm(const Model& model) {
    const StateDict state = model.state();
    return std::any_of(state.begin(), state.end(),
                       [](const auto& entry) { return entry.first.ends_with("running_mean"); });
}

// d|mu - m|/dx_i = (mu - m)_c / |mu - m| / M and d|s - v|/dx_i = (s - v)_c / |s - v| * 2 (x_i - mu_c) / M, where M
// values share a channel: for each channel a + b x, which is what BatchNorm with constant statistics computes.
Var statistics_distance(const Var& x, const Tensor& m, const Tensor& v) {
    const Tensor& values = x.value();
    const int64_t channels = values.dim(1);
    const double count = static_cast<double>(values.numel() / channels);
    const Moments moments = moments_of(values);
    const auto [mean_off, mean_length] = difference(moments.mean, m);
    const auto [variance_off, variance_length] = difference(moments.variance, v);
    std::vector<float> offset, slope;
    for (std::size_t c = 0; c < moments.mean.size(); ++c) {
        const double b = variance_length > 0 ? 2 * variance_off[c] / variance_length / count : 0;
        const double a = (mean_length > 0 ? mean_off[c] / mean_length / count : 0) - b * moments.mean[c];
        offset.push_back(static_cast<float>(a));
        slope.push_back(static_cast<float>(b));
    }
    const Device device = values.device();
    const Tensor a = Tensor::from_nchw({channels}, offset).to(device),
                 b = Tensor::from_nchw({channels}, slope).to(device);
    return Var::computed(Tensor::full({1}, static_cast<float>(mean_length + variance_length), device), {x},
                         [x, a, b](detail::Node& node) {
                             const BatchNorm op{.batch_statistics = false};  // divides by sqrt(variance + op.eps): 1
                             Tensor zero = Tensor::zeros(a.shape(), DType::float32, x.value().device()),
                                    variance = Tensor::full(a.shape(), 1.0f - op.eps, x.value().device());
                             BatchNormSaved saved;
                             Backend& there = backend(node.grad);
                             const Tensor grad = there.batchnorm(x.value(), b, a, zero, variance, {}, op, saved);
                             Var::accumulate(x, there.scale(grad, node.grad.item()));
                         });
}

Inversion invert(const Model& model, const Tensor& seeds, const InversionOptions& options,
                 const std::function<void(int64_t)>& progress) {
    options.validate();
    const int64_t height = seeds.dim(2), width = seeds.dim(3);
    check(has_batchnorm(model), "inversion: model ", model.spec().arch,
          " has no BatchNorm, whose statistics images are made to match");
    constexpr int64_t least = 16, pixels = int64_t{256} * 32 * 32;
    const int64_t size = std::max(least, pixels / (height * width));
    const std::unique_ptr<Model> own = model.clone();
    own->net().set_requires_grad(false);
    const Random random(options.seed, Purpose::inversion);
    Inversion result{.images = Tensor::empty(seeds.shape().with_rows(options.images)),
                     .labels = inversion_labels(options.images, model.spec().classes)};
    for (int64_t begin = 0; begin < options.images; begin += size) {
        const int64_t end = std::min(options.images, begin + size);
        // Items: one for each image, then one for each step of each batch.
        Batch batch(*own, options, patches(seeds, end - begin, random, static_cast<uint64_t>(begin)),
                    {result.labels.begin() + begin, result.labels.begin() + end});
        const auto first_step = static_cast<uint64_t>(options.images + begin / size * options.steps);
        for (int64_t step = 0; step < options.steps; ++step) {
            batch.step(step, draw_placement(random, first_step + static_cast<uint64_t>(step), height, width));
            if (progress) progress(begin * options.steps + (step + 1) * (end - begin));
        }
        result.images.rows(begin, end).copy_from(batch.images());
        result.loss = batch.loss();
        result.statistics = batch.statistics();
    }
    return result;
}

}  // namespace lethe
