#include "unlearn/pgd.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "autograd/ops.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/step_graph.h"
#include "unlearn/image_rows.h"
#include "unlearn/metrics.h"

namespace lethe {
namespace {

// One attack on a pool of rows. Everything a task touches lies in its own rows.
class Attack {
public:
    Attack(Model& twin, const Tensor& images, std::span<const int64_t> labels, const PgdOptions& options,
           uint64_t first_row)
        : twin_(twin),
          device_(backend(twin.device())),
          images_(images),
          labels_(labels),
          options_(options),
          random_(options.seed, Purpose::attack),
          first_row_(first_row),
          result_{Tensor::empty(images.shape()), std::vector<PgdReport>(labels.size())} {}

    PgdResult run(const Tensor& start, const std::function<void(int64_t)>& progress);

private:
    int64_t rows_per_task() const;
    void attack_rows(int64_t begin, int64_t end, const Tensor& start);
    void initialise(Tensor& adversarial, const Tensor& clean, int64_t begin);
    void draw_in_ball(float* out, const float* image, int64_t pixels, uint64_t item) const;
    void iterate(Tensor& adversarial, const Tensor& clean, const Tensor& labels);
    bool all_succeeded(const Tensor& logits, const Tensor& labels) const;
    void report(const Tensor& adversarial, int64_t begin);
    PgdReport measure(std::span<const float> logits, int64_t label) const;

    Model& twin_;
    Backend& device_;
    const Tensor& images_;
    std::span<const int64_t> labels_;
    const PgdOptions& options_;
    Random random_;
    uint64_t first_row_;
    PgdResult result_;
};

double distance(std::span<const float> a, std::span<const float> b, PgdStep::Norm norm) {
    double squares = 0, largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        squares += difference * difference;
        largest = std::max(largest, std::abs(difference));
    }
    return norm == PgdStep::Norm::l2 ? std::sqrt(squares) : largest;
}

PgdResult Attack::run(const Tensor& start, const std::function<void(int64_t)>& progress) {
    const int64_t rows = images_.dim(0), step = rows_per_task();
    std::mutex mutex;
    int64_t done = 0;
    const auto attack_task = [&](int64_t task) {
        const int64_t begin = task * step, end = std::min(rows, begin + step);
        attack_rows(begin, end, start);
        if (!progress) return;
        const std::lock_guard lock(mutex);
        done += end - begin;
        progress(done);
    };
    const int64_t tasks = (rows + step - 1) / step;
    if (device_.concurrent())
        parallel_for(tasks, attack_task);
    else
        for (int64_t task = 0; task < tasks; ++task) attack_task(task);
    return std::move(result_);
}

// Rows do not influence each other, so chunks may be cut to give every thread the same work. An attack that stops at
// success goes row by row: none waits for its neighbours.
int64_t Attack::rows_per_task() const {
    if (options_.early_stop) return 1;
    const int64_t rows = std::max<int64_t>(1, images_.dim(0)), workers = threads();
    // A GPU is filled by 1024 CIFAR images; of larger ones as many pixels, for memory's sake.
    if (!device_.concurrent()) return std::clamp<int64_t>(1024 * 32 * 32 / (images_.dim(2) * images_.dim(3)), 1, rows);
    // What a network keeps for the gradients grows with the pixels: a ResNet-50's 16 rows of 224x224 would take 1 GB.
    constexpr int64_t pixels = 4 * 224 * 224;
    const int64_t chunk = std::min(options_.chunk, std::max<int64_t>(1, pixels / (images_.dim(2) * images_.dim(3))));
    const int64_t at_once = std::min(chunk, rows) * workers;
    const int64_t tasks = (rows + at_once - 1) / at_once * workers;
    return (rows + tasks - 1) / tasks;
}

void Attack::attack_rows(int64_t begin, int64_t end, const Tensor& start) {
    const auto first = static_cast<std::size_t>(begin), count = static_cast<std::size_t>(end - begin);
    const Tensor clean = images_.rows(begin, end).to(twin_.device());
    const Tensor labels = Tensor::from_int64({end - begin}, labels_.subspan(first, count)).to(twin_.device());
    Tensor result = result_.images.rows(begin, end);
    Tensor adversarial =
        twin_.device() == result.device() ? result : Tensor::empty(result.shape(), DType::float32, twin_.device());
    if (start.defined())
        adversarial.copy_from(start.rows(begin, end));
    else
        initialise(adversarial, clean, begin);
    iterate(adversarial, clean, labels);
    if (twin_.device() != result.device()) result.copy_from(adversarial);
    report(adversarial, begin);
}

void Attack::initialise(Tensor& adversarial, const Tensor& clean, int64_t begin) {
    const uint64_t first_item = first_row_ + static_cast<uint64_t>(begin);
    if (options_.init == PgdOptions::Init::none) return adversarial.copy_from(clean);
    if (options_.init == PgdOptions::Init::uniform_box) {
        device_.fill_uniform(adversarial, random_, first_item, options_.step.low,
                             options_.step.high - options_.step.low);
    } else {
        // Drawn on the CPU: logarithms and cosines of devices differ in the last bit.
        const int64_t rows = adversarial.dim(0), pixels = adversarial.numel() / rows;
        Tensor drawn = Tensor::empty(adversarial.shape());
        for (int64_t i = 0; i < rows; ++i)
            draw_in_ball(drawn.mutable_data() + i * pixels, images_.data() + (begin + i) * pixels, pixels,
                         first_item + static_cast<uint64_t>(i));
        adversarial.copy_from(drawn);
    }
    device_.pgd_project(adversarial, clean, options_.step);
}

// torchattacks' starts (PGDL2, PGD): for L2 a normal direction and a radius uniform in [0, eps], which in many
// dimensions is not the uniform distribution in the ball; for Linf that one.
void Attack::draw_in_ball(float* out, const float* image, int64_t pixels, uint64_t item) const {
    const float eps = options_.step.eps;
    if (options_.step.norm == PgdStep::Norm::linf) {
        for (int64_t j = 0; j < pixels; ++j)
            out[j] = image[j] + eps * (2.0f * random_.uniform(item, static_cast<uint32_t>(j)) - 1.0f);
        return;
    }
    double squares = 0;
    for (int64_t j = 0; j < pixels; ++j) {
        out[j] = random_.normal(item, static_cast<uint32_t>(j));
        squares += static_cast<double>(out[j]) * static_cast<double>(out[j]);
    }
    const auto next_block = static_cast<uint32_t>((pixels + 3) / 4 * 4);  // words that no pixel has used
    const double radius = static_cast<double>(eps) * static_cast<double>(random_.uniform(item, next_block));
    const auto factor = static_cast<float>(squares > 0 ? radius / std::sqrt(squares) : 0);
    for (int64_t j = 0; j < pixels; ++j) out[j] = image[j] + factor * out[j];
}

void Attack::iterate(Tensor& adversarial, const Tensor& clean, const Tensor& labels) {
    // The sum of the rows' losses: no row's gradient depends on how many there are. A targeted attack descends, which
    // is ascent along -CE: the sign is the seed of the backward pass.
    const Tensor seed = Tensor::full(labels.shape(), options_.targeted ? -1.0f : 1.0f, labels.device());
    bool succeeded = false;
    const auto step = [&] {
        Var x(adversarial, true);
        const Var logits = twin_.forward(x, BatchNormMode::running);
        if (options_.early_stop && (succeeded = all_succeeded(logits.value(), labels))) return;
        softmax_cross_entropy(logits, labels).backward(seed);
        device_.pgd_step(adversarial, clean, x.grad(), options_.step);
    };
    StepGraph graph(device_);
    for (int64_t i = 0; i < options_.steps && !succeeded; ++i) {
        if (options_.early_stop)
            step();  // it looks at the logits, which a recorded step cannot
        else
            graph.run(step);
    }
}

bool Attack::all_succeeded(const Tensor& logits_there, const Tensor& labels) const {
    const Tensor logits = logits_there.cpu(), targets = labels.cpu();
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    for (std::size_t i = 0; i < targets.int64_values().size(); ++i)
        if (!measure(logits.values().subspan(i * classes, classes), targets.int64_values()[i]).success) return false;
    return true;
}

void Attack::report(const Tensor& adversarial, int64_t begin) {
    const NoGrad inference;
    const Tensor logits = twin_.forward(adversarial, BatchNormMode::running).value().cpu();
    const int64_t rows = adversarial.dim(0);
    const Tensor clean = images_.rows(begin, begin + rows), result = result_.images.rows(begin, begin + rows);
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    const auto pixels = static_cast<std::size_t>(clean.numel() / rows);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
        const std::size_t row = static_cast<std::size_t>(begin) + i;
        const std::span<const float> image = result.values().subspan(i * pixels, pixels);
        PgdReport& entry = result_.report[row];
        entry = measure(logits.values().subspan(i * classes, classes), labels_[row]);
        entry.norm =
            static_cast<float>(distance(image, clean.values().subspan(i * pixels, pixels), options_.step.norm));
        const auto [low, high] = std::minmax_element(image.begin(), image.end());
        entry.low = *low;
        entry.high = *high;
    }
}

// A row with a logit that is no finite number has no prediction, so it never counts as a success.
PgdReport Attack::measure(std::span<const float> logits, int64_t label) const {
    const RowScore score = score_row(logits, label);
    PgdReport entry;
    entry.predicted = score.predicted;
    entry.success = score.finite && (score.predicted == label) == options_.targeted;
    entry.loss = static_cast<float>(score.loss);
    entry.margin = static_cast<float>(options_.targeted ? score.margin : -score.margin);
    return entry;
}

void check_images(const Tensor& images, std::span<const int64_t> labels, int64_t classes, const PgdStep& step) {
    check(images.defined() && images.rank() == 4 && images.dtype() == DType::float32,
          "pgd: images must be float32 [N,3,H,W]");
    check(static_cast<int64_t>(labels.size()) == images.dim(0), "pgd: ", labels.size(), " labels for images ",
          images.shape());
    for (const int64_t label : labels)
        check(label >= 0 && label < classes, "pgd: label ", label, " is outside [0, ", classes, ")");
    for (const float pixel : images.values())
        check(pixel >= step.low && pixel <= step.high, "pgd: an image has a pixel of ", pixel, ", outside the box [",
              step.low, ", ", step.high, "]");
}

void check_start(const Tensor& start, const Tensor& images, const PgdStep& step) {
    check(start.shape() == images.shape(), "pgd: the start has shape ", start.shape(), ", the images ", images.shape());
    for (const float pixel : start.values())
        check(pixel >= step.low && pixel <= step.high, "pgd: the start has a pixel of ", pixel, ", outside the box [",
              step.low, ", ", step.high, "]");
}

}  // namespace

void PgdOptions::validate() const {
    check(std::isfinite(step.eps) && step.eps >= 0, "pgd: eps is ", step.eps, "; it must be a finite number >= 0");
    check(std::isfinite(step.step) && step.step > 0, "pgd: step is ", step.step, "; it must be a finite number > 0");
    check(steps >= 0, "pgd: steps is ", steps, "; it must be >= 0");
    check(chunk >= 1, "pgd: chunk is ", chunk, "; it must be >= 1");
    check(step.low < step.high, "pgd: low is ", step.low, " and high ", step.high, "; low must be the smaller one");
    check(std::isfinite(step.grad_floor) && step.grad_floor > 0, "pgd: grad_floor is ", step.grad_floor,
          "; it must be a finite number > 0");
}

PgdResult pgd(Model& twin, const Tensor& images, std::span<const int64_t> labels, const PgdOptions& options,
              const Tensor& start, uint64_t first_row, const std::function<void(int64_t)>& progress) {
    options.validate();
    check_images(images, labels, twin.spec().classes, options.step);
    if (start.defined()) check_start(start, images, options.step);
    return Attack(twin, images, labels, options, first_row).run(start, progress);
}

std::vector<PgdReport> attack_pool(Model& twin, const Tensor& images, std::span<const int64_t> labels,
                                   const PgdOptions& options, const std::function<void(const Tensor&)>& take,
                                   const std::function<void(int64_t)>& progress, int64_t piece_bytes) {
    check(images.rank() == 4 && images.dim(0) > 0, "pgd: images must be [K,3,H,W] with K > 0, got ", images.shape());
    const auto row_bytes = static_cast<int64_t>(sizeof(float)) * images.numel() / images.dim(0);
    const auto rows = static_cast<int64_t>(labels.size()), piece = std::max<int64_t>(1, piece_bytes / row_bytes);
    const ImageRows clean(images);
    std::vector<PgdReport> reports;
    for (int64_t begin = 0; begin < rows; begin += piece) {
        const int64_t end = std::min(rows, begin + piece);
        std::vector<int64_t> sources;
        for (int64_t row = begin; row < end; ++row) sources.push_back(row % images.dim(0));
        const PgdResult result =
            pgd(twin, clean.gather(sources), labels.subspan(static_cast<std::size_t>(begin), sources.size()), options,
                {}, static_cast<uint64_t>(begin), [&](int64_t done) {
                    if (progress) progress(begin + done);
                });
        reports.insert(reports.end(), result.report.begin(), result.report.end());
        take(result.images);
    }
    return reports;
}

std::vector<int64_t> draw_targets(std::span<const int64_t> labels, int64_t repeats, int64_t classes, bool fallback,
                                  uint64_t seed) {
    check(repeats >= 1, "pgd: ", repeats, " targets per image asked for; there must be at least 1");
    check(classes >= 2, "pgd: targets need at least 2 classes, got ", classes);
    const Random random(seed, Purpose::label);
    std::vector<int64_t> targets;
    targets.reserve(labels.size() * static_cast<std::size_t>(repeats));
    for (int64_t repeat = 0; repeat < repeats; ++repeat)
        for (const int64_t label : labels) {
            const uint64_t item = targets.size();
            // A label beyond the classes drawn from (a restricted set of targets) excludes none of them.
            const bool among = label >= 0 && label < classes;
            int64_t target = random.below(fallback || !among ? classes : classes - 1, item);
            if (among && fallback && target == label) target = classes / 2;
            if (among && !fallback && target >= label) ++target;
            targets.push_back(target);
        }
    return targets;
}

}  // namespace lethe
