#include "unlearn/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numbers>
#include <numeric>

#include "autograd/ops.h"
#include "tensor/error.h"
#include "tensor/random.h"
#include "tensor/step_graph.h"
#include "unlearn/metrics.h"

namespace lethe {
namespace {

// Which images a step uses follows from its number alone, so a checkpoint holds no positions.
class Training {
public:
    Training(Model& model, const Dataset& data, const TrainOptions& options)
        : model_(model),
          data_(data),
          options_(options),
          device_(backend(model.device())),
          uploader_(device_.make_uploader()),
          optimizer_(model.net().parameters(), options.optimizer) {
        steps_per_epoch_ = (data.size() + options.batch_size - 1) / options.batch_size;
    }

    void load(const TrainState& state);
    bool done() const { return step_ >= options_.epochs * steps_per_epoch_; }
    TrainTrace step();
    TrainState snapshot() const;

private:
    struct Batch {
        Tensor images, labels;
        uint64_t first_item;  // of stream Purpose::augment, for the first image
    };
    // What a step of one batch size reads and writes, at addresses that stay.
    struct Recorded {
        explicit Recorded(Backend& device) : graph(device) {}
        Tensor images, labels, logits, loss;
        StepGraph graph;
    };
    // A batch where its step expects it; the labels also here, to count what is right.
    struct Loaded {
        Recorded* step = nullptr;
        Tensor labels;
    };
    Batch batch_of(int64_t step);
    void augment(Tensor& images, uint64_t first_item) const;
    Loaded load_batch(int64_t step);
    void run(Recorded& step);
    double rate() const;
    double seconds() const;

    Model& model_;
    const Dataset& data_;
    const TrainOptions& options_;
    Backend& device_;
    std::unique_ptr<Backend::Uploader> uploader_;
    Optimizer optimizer_;
    std::map<int64_t, Recorded> recorded_;  // by batch size: the last batch of an epoch may be smaller
    Loaded next_;                           // of step step_, where it was loaded ahead
    int64_t steps_per_epoch_ = 0, step_ = 0;
    std::vector<int64_t> order_;  // of epoch order_epoch_
    int64_t order_epoch_ = -1;
    double seconds_before_ = 0;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void Training::load(const TrainState& state) {
    check(state.step >= 0, "train: the state to resume has a negative step");
    model_.load_state(state.weights);
    optimizer_.load_state(state.optimizer);
    step_ = state.step;
    seconds_before_ = state.seconds;
}

TrainState Training::snapshot() const {
    TrainState state{.step = step_, .seconds = seconds(), .weights = {}, .optimizer = optimizer_.state()};
    for (const auto& [name, tensor] : model_.state()) state.weights.emplace_back(name, tensor.clone());
    return state;
}

double Training::seconds() const {
    return seconds_before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

// Warm-up: step s of w has lr * (s + 1) / w, so that no step is made with a rate of 0. Cosine:
// lr / 2 * (1 + cos(pi * progress)) over the steps after it (Loshchilov and Hutter, 2017, without restarts).
double Training::rate() const {
    const auto lr = static_cast<double>(options_.optimizer.lr);
    if (step_ < options_.warmup_steps)
        return lr * static_cast<double>(step_ + 1) / static_cast<double>(options_.warmup_steps);
    if (options_.schedule == "constant") return lr;
    const auto length = static_cast<double>(options_.epochs * steps_per_epoch_ - options_.warmup_steps);
    return lr / 2 * (1 + std::cos(std::numbers::pi * static_cast<double>(step_ - options_.warmup_steps) / length));
}

Training::Batch Training::batch_of(int64_t step) {
    const int64_t epoch = step / steps_per_epoch_, size = data_.size();
    if (epoch != order_epoch_) {
        order_ = Random(options_.seed, Purpose::shuffle).permutation(size, static_cast<uint64_t>(epoch));
        order_epoch_ = epoch;
    }
    const int64_t begin = step % steps_per_epoch_ * options_.batch_size;
    const int64_t end = std::min(size, begin + options_.batch_size);
    const auto indices =
        std::span(order_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    return {data_.images(indices), data_.labels_of(indices), static_cast<uint64_t>(epoch * size + begin)};
}

void Training::augment(Tensor& images, uint64_t first_item) const {
    if (!options_.augment) return;
    std::vector<uint64_t> items(static_cast<std::size_t>(images.dim(0)));
    std::iota(items.begin(), items.end(), first_item);
    augment_crop_flip(images, items, options_.crop_pad, Random(options_.seed, Purpose::augment));
}

Training::Loaded Training::load_batch(int64_t number) {
    const Batch batch = batch_of(number);
    Recorded& step = recorded_.try_emplace(batch.images.dim(0), device_).first->second;
    if (device_.device() == Device::cpu) {
        step.images = batch.images;
        step.labels = batch.labels;
        augment(step.images, batch.first_item);
        return {&step, batch.labels};
    }
    if (!step.images.defined()) {
        step.images = Tensor::empty(batch.images.shape(), DType::float32, device_.device());
        step.labels = Tensor::empty(batch.labels.shape(), DType::int64, device_.device());
    }
    uploader_->send(batch.images, step.images);
    uploader_->send(batch.labels, step.labels);
    augment(step.images, batch.first_item);  // where the images are now
    return {&step, batch.labels};
}

void Training::run(Recorded& step) {
    const float share = 1.0f / static_cast<float>(step.images.dim(0));
    step.graph.run([&] {
        model_.net().zero_grad();
        const Var logits = model_.forward(step.images, BatchNormMode::batch);
        Var loss = softmax_cross_entropy(logits, step.labels);
        step.logits = logits.value();
        step.loss = loss.value();
        loss.backward(Tensor::full(loss.shape(), share, loss.value().device()));
        optimizer_.apply_step();
    });
}

TrainTrace Training::step() {
    TrainTrace trace;
    trace.epoch = step_ / steps_per_epoch_;
    trace.steps_per_epoch = steps_per_epoch_;
    trace.lr = rate();
    const Loaded batch = next_.step != nullptr ? std::exchange(next_, {}) : load_batch(step_);
    trace.total = batch.labels.dim(0);
    optimizer_.set_lr(static_cast<float>(trace.lr));
    optimizer_.prepare_step();
    run(*batch.step);
    ++step_;
    // While a GPU computes, the next batch is cut out and sent, to be augmented there.
    if (!device_.concurrent() && !done()) next_ = load_batch(step_);
    const Tensor loss = batch.step->loss.cpu();
    trace.loss = std::accumulate(loss.values().begin(), loss.values().end(), 0.0) / static_cast<double>(trace.total);
    check(std::isfinite(trace.loss), "train: the loss is ", trace.loss, " at step ", step_,
          "; a smaller learning rate or a longer warm-up may help");
    trace.correct = evaluate_logits(batch.step->logits.cpu(), batch.labels.int64_values()).accuracy.correct;
    trace.step = step_;
    trace.seconds = seconds();
    return trace;
}

}  // namespace

void TrainOptions::validate() const {
    optimizer.validate();
    check(epochs >= 1, "train: epochs is ", epochs, "; it must be >= 1");
    check(batch_size >= 1, "train: batch_size is ", batch_size, "; it must be >= 1");
    check(schedule == "cosine" || schedule == "constant", "train: unknown schedule '", schedule,
          "'; known ones are cosine and constant");
    check(warmup_steps >= 0, "train: warmup_steps is ", warmup_steps, "; it must be >= 0");
    check(crop_pad >= 0, "train: crop_pad is ", crop_pad, "; it must be >= 0");
}

void train(Model& model, const Dataset& data, const TrainOptions& options,
           const std::function<bool(const TrainTrace&, const std::function<TrainState()>&)>& on_step,
           const std::optional<TrainState>& resume) {
    options.validate();
    check(data.size() > 0, "train: ", data.source, " has no images");
    for (const int64_t label : data.labels)
        check(label >= 0 && label < model.spec().classes, "train: ", data.source, " has a label ", label,
              ", the model only ", model.spec().classes, " classes");
    Training training(model, data, options);
    if (resume) training.load(*resume);
    while (!training.done()) {
        const TrainTrace trace = training.step();
        if (on_step && !on_step(trace, [&] { return training.snapshot(); })) return;
    }
}

}  // namespace lethe
