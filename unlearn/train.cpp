#include "unlearn/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>

#include "autograd/ops.h"
#include "nn/average.h"
#include "nn/layers.h"
#include "tensor/error.h"
#include "tensor/random.h"
#include "tensor/step_graph.h"

namespace lethe {
namespace {

const TrainOptions& valid(const TrainOptions& options) {
    options.validate();
    return options;
}

// `data` with all indices written out, and checked.
TrainData complete(TrainData data, const Model& model) {
    const auto complete_part = [&](const Dataset& part, std::vector<int64_t>& indices) {
        check(part.size() > 0, "train: ", part.source, " has no images");
        if (indices.empty()) indices = all_indices(part);
        for (const int64_t index : indices) {
            check(index >= 0 && index < part.size(), "train: image ", index, " of ", part.size(), " (", part.source,
                  ")");
            const int64_t label = part.labels[static_cast<std::size_t>(index)];
            check(label >= 0 && label < model.spec().classes, "train: ", part.source, " has a label ", label,
                  ", the model only ", model.spec().classes, " classes");
        }
    };
    complete_part(data.train, data.indices);
    if (data.evaluation != nullptr) complete_part(*data.evaluation, data.evaluation_indices);
    return data;
}

int64_t batches(const TrainData& data, const TrainOptions& options) {
    return (static_cast<int64_t>(data.indices.size()) + options.batch_size - 1) / options.batch_size;
}

}  // namespace

// Which images a step uses follows from its number alone, so a checkpoint holds no positions.
class Training::Loop {
public:
    Loop(Model& model, TrainData data, const TrainOptions& options)
        : model_(model),
          data_(complete(std::move(data), model)),
          options_(valid(options)),
          device_(backend(model.device())),
          uploader_(device_.make_uploader()),
          optimizer_(model.net().parameters(), options.optimizer),
          steps_per_epoch_(batches(data_, options)),
          schedule_(options.schedule, options.optimizer, options.epochs, steps_per_epoch_) {
        set_dropout_position(model_.net(), options_.seed, 0);
        if (options.ema > 0) average_ = std::make_unique<WeightAverage>(model, options.ema);
    }

    int64_t steps() const { return options_.epochs * steps_per_epoch_; }
    bool done() const { return now_.step >= steps(); }
    TrainTrace step();
    const Model& result() { return average_ ? average_->model() : model_; }
    TrainState snapshot();
    void load(const TrainState& state);

private:
    struct Batch {
        int64_t step = -1;
        PendingImages images;
        Tensor labels;
        std::vector<uint64_t> items;  // of stream Purpose::augment, for each image
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
    Batch request_batch(int64_t step);
    Batch take_batch(int64_t step);
    void crop_and_flip(Tensor& images, std::span<const uint64_t> items) const;
    Random augmentation() const { return {options_.seed, Purpose::augment}; }
    Loaded load_batch(int64_t step);
    void run(Recorded& step);
    EpochTrace end_epoch();
    Score evaluate_result();
    double seconds() const;

    Model& model_;
    const TrainData data_;
    const TrainOptions options_;
    Backend& device_;
    std::unique_ptr<Backend::Uploader> uploader_;
    Optimizer optimizer_;
    const int64_t steps_per_epoch_;
    const Schedule schedule_;
    std::unique_ptr<WeightAverage> average_;  // with options.ema
    std::unique_ptr<Model> twin_;             // that evaluations run through
    std::map<int64_t, Recorded> recorded_;    // by batch size: the last batch of an epoch may be smaller
    Loaded next_;                             // of the present step, where it was loaded ahead
    TrainState now_;                          // its weights, optimizer and average stay empty, its seconds the start's
    Batch requested_;                         // of a later step, while it is decoded
    std::vector<int64_t> order_;              // of epoch order_epoch_
    int64_t order_epoch_ = -1;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void Training::Loop::load(const TrainState& state) {
    check(state.step >= 0 && state.step <= steps(), "train: the state to resume is that of step ", state.step, " of ",
          steps());
    check(state.average.empty() == (average_ == nullptr), "train: the state to resume has ",
          average_ ? "no average of the weights" : "an average of the weights, this training none");
    model_.load_state(state.weights);
    optimizer_.load_state(state.optimizer);
    if (average_) average_->load_state(state.average);
    now_ = state;
    now_.weights = now_.optimizer = now_.average = {};
    set_dropout_position(model_.net(), options_.seed, now_.step);
    next_ = {};
    requested_ = {};
}

TrainState Training::Loop::snapshot() {
    TrainState state = now_;
    state.seconds = seconds();
    state.optimizer = optimizer_.state();
    for (const auto& [name, tensor] : model_.state()) state.weights.emplace_back(name, tensor.clone());
    if (average_)
        for (const auto& [name, tensor] : average_->model().state()) state.average.emplace_back(name, tensor.clone());
    return state;
}

double Training::Loop::seconds() const {
    return now_.seconds + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

Training::Loop::Batch Training::Loop::request_batch(int64_t step) {
    const int64_t epoch = step / steps_per_epoch_, size = static_cast<int64_t>(data_.indices.size());
    if (epoch != order_epoch_) {
        order_ = Random(options_.seed, Purpose::shuffle).permutation(size, static_cast<uint64_t>(epoch));
        for (int64_t& index : order_) index = data_.indices[static_cast<std::size_t>(index)];
        order_epoch_ = epoch;
    }
    const int64_t begin = step % steps_per_epoch_ * options_.batch_size;
    const int64_t end = std::min(size, begin + options_.batch_size);
    const auto indices =
        std::span(order_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    std::vector<uint64_t> items(indices.size());
    std::iota(items.begin(), items.end(), static_cast<uint64_t>(epoch * size + begin));
    PendingImages images =
        options_.augment ? data_.train.request(indices, augmentation(), items) : data_.train.request(indices);
    return {step, std::move(images), data_.train.labels_of(indices), std::move(items)};
}

// Images that must be decoded are asked for one step ahead.
Training::Loop::Batch Training::Loop::take_batch(int64_t step) {
    Batch batch = requested_.step == step ? std::move(requested_) : request_batch(step);
    requested_ = {};
    if (data_.train.loader && step + 1 < steps()) requested_ = request_batch(step + 1);
    return batch;
}

// Where the dataset has not augmented them itself.
void Training::Loop::crop_and_flip(Tensor& images, std::span<const uint64_t> items) const {
    if (options_.augment && !data_.train.augments())
        augment_crop_flip(images, items, options_.crop_pad, augmentation());
}

Training::Loop::Loaded Training::Loop::load_batch(int64_t number) {
    Batch batch = take_batch(number);
    const Tensor images = batch.images.get();
    Recorded& step = recorded_.try_emplace(images.dim(0), device_).first->second;
    if (device_.device() == Device::cpu) {
        step.images = images;
        step.labels = batch.labels;
        crop_and_flip(step.images, batch.items);
        return {&step, batch.labels};
    }
    if (!step.images.defined()) {
        step.images = Tensor::empty(images.shape(), DType::float32, device_.device());
        step.labels = Tensor::empty(batch.labels.shape(), DType::int64, device_.device());
    }
    uploader_->send(images, step.images);
    uploader_->send(batch.labels, step.labels);
    crop_and_flip(step.images, batch.items);  // where the images are now
    return {&step, batch.labels};
}

void Training::Loop::run(Recorded& step) {
    const float share = 1.0f / static_cast<float>(step.images.dim(0));
    step.graph.run([&] {
        model_.net().zero_grad();
        const Var logits = model_.forward(step.images, BatchNormMode::batch);
        Var loss = softmax_cross_entropy(logits, step.labels, {.label_smoothing = options_.label_smoothing});
        step.logits = logits.value();
        step.loss = loss.value();
        loss.backward(Tensor::full(loss.shape(), share, loss.value().device()));
        optimizer_.apply_step();
        if (average_) average_->apply_step();
    });
}

TrainTrace Training::Loop::step() {
    TrainTrace trace;
    trace.epoch = now_.step / steps_per_epoch_;
    trace.steps_per_epoch = steps_per_epoch_;
    const Rate rate = schedule_.at(now_.step);
    trace.lr = rate.lr;
    const Loaded batch = next_.step != nullptr ? std::exchange(next_, {}) : load_batch(now_.step);
    trace.total = batch.labels.dim(0);
    trace.step = ++now_.step;
    optimizer_.set_lr(static_cast<float>(rate.lr));
    optimizer_.set_momentum(static_cast<float>(rate.momentum));
    optimizer_.prepare_step();
    if (average_) average_->prepare_step(now_.step);
    run(*batch.step);
    // While a GPU computes, the next batch is cut out and sent, to be augmented there.
    if (!device_.concurrent() && !done()) next_ = load_batch(now_.step);
    const Tensor loss = batch.step->loss.cpu();
    const double sum = std::accumulate(loss.values().begin(), loss.values().end(), 0.0);
    trace.loss = sum / static_cast<double>(trace.total);
    check(std::isfinite(trace.loss), "train: the loss is ", trace.loss, " at step ", trace.step,
          "; a smaller learning rate or a longer warm-up may help");
    trace.correct = evaluate_logits(batch.step->logits.cpu(), batch.labels.int64_values()).accuracy.correct;
    trace.gradient_norm = optimizer_.gradient_norm();
    now_.epoch_loss += sum;
    now_.epoch_training.correct += trace.correct;
    now_.epoch_training.total += trace.total;
    if (now_.step % steps_per_epoch_ == 0) {
        trace.epoch_end = end_epoch();
        trace.epoch_end->lr = trace.lr;
    }
    trace.seconds = seconds();
    return trace;
}

EpochTrace Training::Loop::end_epoch() {
    EpochTrace trace;
    trace.epoch = now_.step / steps_per_epoch_ - 1;
    trace.training = std::exchange(now_.epoch_training, {});
    trace.loss = std::exchange(now_.epoch_loss, 0.0) / static_cast<double>(trace.training.total);
    const bool due = done() || (trace.epoch + 1) % options_.evaluate_every == 0;
    if (data_.evaluation != nullptr && due) {
        trace.evaluation = evaluate_result();
        trace.best =
            std::isfinite(trace.evaluation->loss) && (now_.best_epoch < 0 || trace.evaluation->better_than(now_.best));
    }
    if (trace.best) {
        now_.best = *trace.evaluation;
        now_.best_epoch = trace.epoch;
    }
    trace.seconds = seconds();
    return trace;
}

Score Training::Loop::evaluate_result() {
    if (twin_)
        fold_into(result(), *twin_);
    else
        twin_ = fold_batchnorm(result());
    const Evaluation evaluation = evaluate(*twin_, *data_.evaluation, data_.evaluation_indices);
    return {evaluation.accuracy, evaluation.loss};
}

bool Score::better_than(const Score& other) const {
    if (accuracy.correct != other.accuracy.correct) return accuracy.correct > other.accuracy.correct;
    return loss < other.loss;
}

HeldOut hold_out(int64_t size, int64_t count, uint64_t seed) {
    check(count >= 1 && count < size, "train: ", count, " of ", size,
          " images cannot be held out for validation; 1 to ", size - 1, " can");
    std::vector<int64_t> order = Random(seed, Purpose::validation).permutation(size, 0);
    HeldOut parts;
    parts.validation.assign(order.begin(), order.begin() + count);
    parts.train.assign(order.begin() + count, order.end());
    std::sort(parts.validation.begin(), parts.validation.end());
    std::sort(parts.train.begin(), parts.train.end());
    return parts;
}

void TrainOptions::validate() const {
    optimizer.validate();
    schedule.validate();
    check(epochs >= 1, "train: epochs is ", epochs, "; it must be >= 1");
    check(batch_size >= 1, "train: batch_size is ", batch_size, "; it must be >= 1");
    check(label_smoothing >= 0 && label_smoothing < 1, "train: label_smoothing is ", label_smoothing,
          "; it must be in [0, 1)");
    check(ema >= 0 && ema < 1, "train: ema is ", ema, "; it must be in [0, 1)");
    check(crop_pad >= 0, "train: crop_pad is ", crop_pad, "; it must be >= 0");
    check(evaluate_every >= 1, "train: evaluate_every is ", evaluate_every, "; it must be >= 1");
}

Training::Training(Model& model, TrainData data, const TrainOptions& options)
    : loop_(std::make_unique<Loop>(model, std::move(data), options)) {}
Training::~Training() = default;
int64_t Training::steps() const { return loop_->steps(); }
bool Training::done() const { return loop_->done(); }
TrainTrace Training::step() { return loop_->step(); }
const Model& Training::result() { return loop_->result(); }
TrainState Training::snapshot() { return loop_->snapshot(); }
void Training::load(const TrainState& state) { loop_->load(state); }

void train(Model& model, const Dataset& data, const TrainOptions& options) {
    Training training(model, {.train = data}, options);
    while (!training.done()) training.step();
}

}  // namespace lethe
