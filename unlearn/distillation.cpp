#include "unlearn/distillation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "data/dataset.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "unlearn/inversion.h"
#include "unlearn/metrics.h"
#include "unlearn/metrics/reemergence.h"
#include "unlearn/unlearn.h"

namespace lethe {
namespace {

int64_t pixels_of(const Tensor& images) { return images.dim(1) * images.dim(2) * images.dim(3); }

const float* row(const Tensor& images, int64_t i) { return images.data() + i * pixels_of(images); }

int64_t shift_limit(int64_t height, int64_t width, int64_t thirtyseconds) {
    return std::max<int64_t>(1, std::min(height, width) * thirtyseconds / 32);
}

// Which rows of `from` a step takes, `count` of them, drawn at `item`.
std::vector<int64_t> draw_rows(const Random& random, uint64_t item, int64_t from, int64_t count) {
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < count; ++i) rows.push_back(random.below(from, item, static_cast<uint32_t>(i)));
    return rows;
}

// For each of `rows` of `count` another one, drawn at `item`.
std::vector<int64_t> draw_others(const Random& random, uint64_t item, const std::vector<int64_t>& rows, int64_t count) {
    std::vector<int64_t> others = draw_rows(random, item, count - 1, static_cast<int64_t>(rows.size()));
    for (std::size_t i = 0; i < rows.size(); ++i) others[i] = (rows[i] + 1 + others[i]) % count;
    return others;
}

// Moved by up to 1/8 of a side, zeros come in, and mirrored or not; an item for each image.
Tensor shifted_and_mirrored(Tensor images, uint64_t first_item, const Random& random) {
    std::vector<uint64_t> items(static_cast<std::size_t>(images.dim(0)));
    std::iota(items.begin(), items.end(), first_item);
    augment_crop_flip(images, items, shift_limit(images.dim(2), images.dim(3), 4), random);
    return images;
}

// In images whose pixels lie row by row with their channels together.
struct Rectangle {
    int64_t top, left, height, width;
};

// A rectangle of the image's proportions and `share` of its area, somewhere in it.
Rectangle draw_rectangle(const Random& random, uint64_t item, float share, int64_t height, int64_t width) {
    const double side = std::sqrt(static_cast<double>(share));
    const auto h = static_cast<int64_t>(std::lround(side * static_cast<double>(height)));
    const auto w = static_cast<int64_t>(std::lround(side * static_cast<double>(width)));
    return {random.below(height - h + 1, item, 0), random.below(width - w + 1, item, 1), h, w};
}

void paste(const Rectangle& piece, const float* from, float* to, int64_t width, int64_t channels) {
    for (int64_t y = piece.top; y < piece.top + piece.height; ++y) {
        const int64_t begin = (y * width + piece.left) * channels;
        std::copy_n(from + begin, piece.width * channels, to + begin);
    }
}

// Gaussian noise on every value, clamped to [0,1]; an item for each image.
void add_noise(Tensor& images, float deviation, const std::vector<uint64_t>& items, const Random& random) {
    constexpr uint32_t first = 4;  // behind the draws of the placement
    float* pixels = images.mutable_data();
    const int64_t size = pixels_of(images);
    parallel_for(images.dim(0), [&](int64_t i) {
        const uint64_t item = items[static_cast<std::size_t>(i)];
        for (int64_t j = 0; j < size; ++j) {
            float& pixel = pixels[i * size + j];
            pixel = std::clamp(pixel + deviation * random.normal(item, first + static_cast<uint32_t>(j)), 0.0f, 1.0f);
        }
    });
}

}  // namespace

void DistillOptions::validate() const {
    check(std::isfinite(weight) && weight >= 0, "unlearn: the distillation weight is ", weight,
          "; it must be a finite number >= 0");
    check(std::isfinite(views_weight) && views_weight >= 0, "unlearn: the distillation weight of views is ",
          views_weight, "; it must be a finite number >= 0");
    check(std::isfinite(lr) && lr > 0, "unlearn: the learning rate of distillation is ", lr,
          "; it must be a finite number > 0");
    check(std::isfinite(temperature) && temperature > 0, "unlearn: the temperature of distillation is ", temperature,
          "; it must be a finite number > 0");
    check(std::isfinite(margin) && margin >= 0, "unlearn: the margin of distillation is ", margin,
          "; it must be a finite number >= 0");
    check(proxies >= 1, "unlearn: proxies is ", proxies, "; it must be >= 1");
    check(proxies_from == "auto" || proxies_from == "both" || proxies_from == "inversion" || proxies_from == "attack",
          "unlearn: proxies_from is '", proxies_from, "'; it must be auto, both, inversion or attack");
    check(views >= 1, "unlearn: views is ", views, "; it must be >= 1");
    check(settle >= 1, "unlearn: settle is ", settle, "; it must be >= 1");
}

ProxySources proxy_sources(const DistillOptions& options, const Model& model) {
    options.validate();
    const bool possible = has_batchnorm(model);
    const std::string& from = options.proxies_from;
    check(possible || from == "auto" || from == "attack", "unlearn: model ", model.spec().arch,
          " has no BatchNorm, so it cannot be inverted; proxies must come from the attack (auto does so)");
    return {.inversion = possible && from != "attack", .attack = from != "inversion"};
}

Tensor weak_views(const Tensor& images, int64_t copies, float noise, const Random& random, uint64_t first_item) {
    const int64_t count = images.dim(0);
    Tensor views = Tensor::empty(images.shape().with_rows(copies * count));
    const ViewOptions crop{.seed = random.seed() + 1};  // not the crops that re-emergence looks at
    for (int64_t copy = 0; copy < copies; ++copy) {
        std::vector<uint64_t> items(static_cast<std::size_t>(count));
        std::iota(items.begin(), items.end(), first_item + static_cast<uint64_t>(copy * count));
        Tensor own = views.rows(copy * count, (copy + 1) * count);
        if (copy == 0) {
            own.copy_from(view_of("flip", images, items, 0, crop));
            continue;
        }
        const bool window = copy % 2 == 1, noisy = copy / 2 % 2 == 1;
        own.copy_from(window ? view_of("crop", images, items, 0, crop) : images);
        augment_crop_flip(own, items, shift_limit(images.dim(2), images.dim(3), 3), random);
        if (noisy) add_noise(own, noise, items, random);
    }
    return views;
}

Distillation::Distillation(const Model& original, const ForgetTask& task, const DistillOptions& options, bool keep_away,
                           uint64_t seed)
    : teacher_(fold_batchnorm(original)),
      task_(task),
      temperature_(options.temperature),
      keep_away_(keep_away),
      seed_(seed) {
    const ProxySources sources = proxy_sources(options, original);
    check(!sources.inversion || task.inverted.defined(), "unlearn: proxies from inversion need inverted images");
    check(!sources.attack || task.adversarial.defined(), "unlearn: proxies from the attack need adversarial images");
    if (sources.inversion) stock_ = sources.attack ? (options.proxies + 1) / 2 : options.proxies;
    if (sources.attack) kind_ = std::max<int64_t>(1, (options.proxies - stock_) / 3);
}

Proxies Distillation::proxies(int64_t step) const {
    Tensor images = Tensor::empty(task_.images.shape().with_rows(stock_ + 3 * kind_));
    if (stock_ > 0) images.rows(0, stock_).copy_from(from_stock(step));
    if (kind_ > 0) images.rows(stock_, images.dim(0)).copy_from(from_attack(step));
    return {images, softmax_rows(predict(*teacher_, images), static_cast<double>(temperature_))};
}

Tensor Distillation::from_stock(int64_t step) const {
    const Random random(seed_, Purpose::stock), augment(seed_, Purpose::stock_augment);
    Tensor images =
        task_.inverted.gather(draw_rows(random, static_cast<uint64_t>(step), task_.inverted.shape()[0], stock_));
    return shifted_and_mirrored(std::move(images), static_cast<uint64_t>(step * stock_), augment);
}

Tensor Distillation::from_attack(int64_t step) const {
    const Random random(seed_, Purpose::proxy), augment(seed_, Purpose::augment);
    const Tensor& forget = task_.images;
    const ImageRows& adversarial = task_.adversarial;
    const int64_t n = kind_, height = forget.dim(2), width = forget.dim(3), channels = forget.dim(1);
    const int64_t pool = adversarial.shape()[0], k = forget.dim(0);
    // Items of a step: five for choices of rows and lambda, then one for each rectangle; for the placement of a's and
    // b's images one each.
    const auto item = static_cast<uint64_t>(step) * static_cast<uint64_t>(n + 5);
    const auto placement = static_cast<uint64_t>(4 * n * step);
    const std::vector<int64_t> first = draw_rows(random, item, k, 2 * n);
    const bool pairs = keep_away_ && k > 1;  // of images of D_f
    Tensor a = ImageRows(forget).gather(first);
    Tensor b = pairs ? ImageRows(forget).gather(draw_others(random, item + 1, first, k))
                     : adversarial.gather(draw_rows(random, item + 1, pool, 2 * n));
    a = shifted_and_mirrored(std::move(a), placement, augment);
    b = shifted_and_mirrored(std::move(b), placement + static_cast<uint64_t>(2 * n), augment);

    Tensor images = Tensor::empty(forget.shape().with_rows(3 * n));
    images.rows(0, n).copy_from(adversarial.gather(draw_rows(random, item + 2, pool, n)));
    float* out = images.mutable_data();
    const int64_t size = pixels_of(images);
    parallel_for(n, [&](int64_t i) {
        const auto index = static_cast<uint32_t>(i);
        const float lambda = keep_away_ ? 0.5f : random.uniform(item + 3, index);
        const float share = keep_away_ ? 0.5f : random.uniform(item + 4, index);
        const float *from_a = row(a, i), *from_b = row(b, i);
        float* mixed = out + (n + i) * size;
        for (int64_t j = 0; j < size; ++j) mixed[j] = lambda * from_a[j] + (1.0f - lambda) * from_b[j];
        float* pasted = out + (2 * n + i) * size;
        std::copy_n(row(b, n + i), size, pasted);
        paste(draw_rectangle(random, item + 5 + static_cast<uint64_t>(i), share, height, width), row(a, n + i), pasted,
              width, channels);
    });
    return images;
}

namespace {

// logits / T of row i, in double, and the logarithm of the sum of their exponentials.
struct SoftRow {
    std::vector<double> z;
    double whole = 0;
};

SoftRow soft_row(const Tensor& logits, std::size_t i, double temperature) {
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    SoftRow row;
    for (const float z : logits.values().subspan(i * classes, classes))
        row.z.push_back(static_cast<double>(z) / temperature);
    const double most = *std::max_element(row.z.begin(), row.z.end());
    for (const double z : row.z) row.whole += std::exp(z - most);
    row.whole = most + std::log(row.whole);
    return row;
}

}  // namespace

Tensor softmax_rows(const Tensor& logits, double temperature) {
    Tensor result = Tensor::empty(logits.shape());
    const auto rows = static_cast<std::size_t>(logits.dim(0));
    float* out = result.mutable_data();
    for (std::size_t i = 0; i < rows; ++i) {
        const SoftRow row = soft_row(logits, i, temperature);
        for (const double z : row.z) *out++ = static_cast<float>(std::exp(z - row.whole));
    }
    return result;
}

double mean_kl(const Tensor& target, const Tensor& logits, double temperature) {
    const auto classes = static_cast<std::size_t>(logits.dim(1)), rows = static_cast<std::size_t>(logits.dim(0));
    double total = 0;
    for (std::size_t i = 0; i < rows; ++i) {
        const SoftRow row = soft_row(logits, i, temperature);
        const std::span<const float> p = target.values().subspan(i * classes, classes);
        for (std::size_t c = 0; c < classes; ++c) {
            const auto share = static_cast<double>(p[c]);
            if (share > 0) total += share * (std::log(share) - (row.z[c] - row.whole));
        }
    }
    return rows > 0 ? temperature * temperature * total / static_cast<double>(rows) : 0;
}

}  // namespace lethe
