#include "unlearn/unlearn.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "autograd/ops.h"
#include "nn/layers.h"
#include "tensor/error.h"
#include "tensor/random.h"
#include "tensor/step_graph.h"
#include "unlearn/image_set.h"
#include "unlearn/metrics.h"
#include "unlearn/stop.h"

namespace lethe {
namespace {

// Images with labels, ready for one forward pass.
struct Batch {
    Tensor images, labels;
    int64_t size() const { return images.dim(0); }
};

// The rows named in `order`, in memory of their own.
Batch gather(const ImageRows& images, std::span<const int64_t> labels, std::span<const int64_t> order) {
    std::vector<int64_t> chosen;
    for (const int64_t row : order) chosen.push_back(labels[static_cast<std::size_t>(row)]);
    return {images.gather(order), Tensor::from_int64({static_cast<int64_t>(order.size())}, chosen)};
}

Batch slice(const ImageRows& images, std::span<const int64_t> labels, int64_t begin, int64_t end) {
    const auto first = static_cast<std::size_t>(begin), count = static_cast<std::size_t>(end - begin);
    return {images.rows(begin, end), Tensor::from_int64({end - begin}, labels.subspan(first, count))};
}

// Infinity and NaN are the floats whose exponent bits are all set; in integers the scan is vectorised.
bool all_finite(std::span<const float> values) {
    constexpr uint32_t exponent = 0x7f800000;
    uint32_t any = 0;
    for (const float value : values)
        any |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & exponent) == exponent);
    return any == 0;
}

// On a GPU: 0 * x summed up is 0, or NaN as soon as one x is no finite number; so one number comes back, not the model.
bool all_finite_there(const StateDict& state, Device where) {
    Backend& device = backend(where);
    Tensor total = Tensor::zeros({1}, DType::float32, where);
    for (const auto& [name, tensor] : state)
        if (tensor.dtype() == DType::float32 && tensor.numel() > 0)
            device.axpy(1.0f, device.sum(device.scale(tensor, 0.0f)), total);
    return total.item() == 0.0f;
}

bool all_finite(const StateDict& state, Device where) {
    if (where != Device::cpu) return all_finite_there(state, where);
    return std::all_of(state.begin(), state.end(), [](const auto& entry) {
        return entry.second.dtype() != DType::float32 || all_finite(entry.second.values());
    });
}

double mean_of(const Tensor& values) {
    const Tensor here = values.cpu();
    const std::span<const float> all = here.values();
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
}

// 1 for the rows whose label's logit is not yet `margin` below the largest other one, 0 for the others.
std::vector<float> still_recognised(const Tensor& logits, std::span<const int64_t> labels, double margin) {
    std::vector<float> rows;
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        const auto logit = logits.values().subspan(static_cast<std::size_t>(i * logits.dim(1)),
                                                   static_cast<std::size_t>(logits.dim(1)));
        const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
        float other = -std::numeric_limits<float>::infinity();
        for (std::size_t c = 0; c < logit.size(); ++c)
            if (c != label) other = std::max(other, logit[c]);
        rows.push_back(double{logit[label]} - double{other} < -margin ? 0.0f : 1.0f);
    }
    return rows;
}

void check_labels(const std::vector<int64_t>& labels, const Shape& images, int64_t classes, const char* what) {
    check(static_cast<int64_t>(labels.size()) == images[0], "unlearn: ", labels.size(), " ", what, " for images ",
          images);
    for (const int64_t label : labels)
        check(label >= 0 && label < classes, "unlearn: ", what, " must lie in [0, ", classes, "), one is ", label);
}

void check_task(const ForgetTask& task, const Method& method, int64_t classes) {
    check(task.images.defined() && task.images.rank() == 4 && task.images.dim(0) > 0,
          "unlearn: the forget set must be images [k,3,H,W] with at least one image");
    check_labels(task.labels, task.images.shape(), classes, "labels");
    if (method.objective == Objective::relabel) {
        check_labels(task.relabels, task.images.shape(), classes, "new labels");
        for (std::size_t i = 0; i < task.labels.size(); ++i)
            check(task.labels[i] != task.relabels[i], "unlearn: image ", i, " of the forget set has its true label ",
                  task.labels[i], " as its new label");
    }
    if (method.adversarial) {
        check(task.adversarial.defined() && task.adversarial.shape().rank() == 4 && task.adversarial.shape()[0] > 0,
              "unlearn: method ", method.name, " needs adversarial images");
        check_labels(task.adversarial_labels, task.adversarial.shape(), classes, "adversarial labels");
        check(task.adversarial.shape()[0] % task.images.dim(0) == 0, "unlearn: ", task.adversarial.shape()[0],
              " adversarial images are no multiple of the ", task.images.dim(0), " images to forget");
    }
    check(!method.importance || !task.penalty.empty(), "unlearn: method ", method.name, " needs importance weights");
}

OptimizerSpec with_switches(OptimizerSpec spec, const Switches& switches) {
    spec.decay_all = switches.decay_all;
    return spec;
}

// One term of a step's loss, with what it reads and writes at addresses that stay, so that it can be recorded.
struct Term {
    explicit Term(Backend& device) : graph(device) {}

    // Brings a batch to the device. Rows that are not `recognised` do not count; empty: all do.
    void load(const Batch& batch, std::span<const float> recognised, Device device);

    Tensor images, labels;
    Tensor active;  // 1 for the rows that count
    Tensor loss;    // [N], cross entropy
    StepGraph graph;
};

// By rows and weight: the last batch of a pass may be smaller.
using Terms = std::map<std::pair<int64_t, double>, Term>;

void Term::load(const Batch& batch, std::span<const float> recognised, Device device) {
    const Tensor rows = recognised.empty() ? Tensor::full({batch.size()}, 1.0f)
                                           : Tensor::from_nchw({static_cast<int64_t>(recognised.size())}, recognised);
    if (device == Device::cpu) {
        images = batch.images;
        labels = batch.labels;
        active = rows;
        return;
    }
    if (!images.defined()) {
        images = Tensor::empty(batch.images.shape(), DType::float32, device);
        labels = Tensor::empty(batch.labels.shape(), DType::int64, device);
        active = Tensor::empty(rows.shape(), DType::float32, device);
    }
    images.copy_from(batch.images);
    labels.copy_from(batch.labels);
    active.copy_from(rows);
}

// The loop's state. Which images a step uses follows from its number alone, so a checkpoint holds no positions.
class Unlearning {
public:
    Unlearning(Model& model, const Method& method, const ForgetTask& task, const UnlearnOptions& options)
        : model_(model),
          method_(method),
          task_(task),
          options_(options),
          device_(backend(model.device())),
          optimizer_(model.net().parameters(), with_switches(options.optimizer, options.switches)),
          twin_(fold_batchnorm(model)),
          // the labels whose cross entropy moves and whose count is the goal
          labels_(method.objective == Objective::relabel ? task.relabels : task.labels) {
        if (method.importance) optimizer_.set_penalty(task.penalty, options.lambda);
        if (method.adversarial)
            order_ = adversarial_order(task.images.dim(0), task.adversarial.shape()[0] / task.images.dim(0),
                                       options.forget_batch, options.switches.adv_order_batch);
    }

    void load(const UnlearnState& state);
    void test_forget_set();
    UnlearnResult loop(const std::function<bool(const StepTrace&, const std::function<UnlearnState()>&)>& on_step);

private:
    bool step(StepTrace& trace);
    void accumulate_gradients(StepTrace& trace);
    bool test(StepTrace& trace);
    bool ended();
    bool finish(Verdict verdict, std::string reason);
    Standing standing() const;
    int64_t forget_begin(int64_t position) const;
    Batch forget_batch(int64_t position) const;
    double add_forget_gradient(int64_t position, double weight);
    Batch adversarial_batch(int64_t position);
    double add_gradient(Terms& terms, const Batch& batch, double weight, std::span<const float> recognised = {});
    Var forward(const Tensor& images);  // logits, under BatchNorm's mode of the steps
    double seconds() const;
    UnlearnState snapshot() const;

    bool relabels() const { return method_.objective == Objective::relabel; }

    Model& model_;
    const Method& method_;
    const ForgetTask& task_;
    const UnlearnOptions& options_;
    Backend& device_;
    Optimizer optimizer_;
    std::unique_ptr<Model> twin_;
    std::vector<int64_t> labels_;
    Terms forget_, adversarial_;
    std::vector<int64_t> order_;       // of adversarial rows
    std::vector<int64_t> pass_order_;  // the same, shuffled for pass `pass_`
    int64_t pass_ = -1;

    int64_t step_ = 0, goal_in_a_row_ = 0;
    int64_t forget_correct_ = 0;
    std::vector<bool> true_label_;   // images of D_f given it
    Evaluation evaluation_;          // of D_f, by the model as it is now
    std::vector<float> recognised_;  // 1 for the images of D_f that are not yet forgotten by the margin
    double seconds_before_ = 0;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    UnlearnResult result_;
};

void Unlearning::load(const UnlearnState& state) {
    check(state.step >= 0 && state.goal_in_a_row >= 0, "unlearn: the state to resume has a negative step");
    model_.load_state(state.weights);
    optimizer_.load_state(state.optimizer);
    step_ = state.step;
    goal_in_a_row_ = state.goal_in_a_row;
    seconds_before_ = state.seconds;
    test_forget_set();
}

// D_f through the folded twin, with running statistics.
void Unlearning::test_forget_set() {
    fold_into(model_, *twin_);
    const Tensor logits = predict(*twin_, task_.images);
    evaluation_ = evaluate_logits(logits, labels_);
    recognised_ = still_recognised(logits, labels_, options_.stop.margin);
    forget_correct_ = evaluation_.accuracy.correct;
    const std::vector<int64_t> misclassified = evaluate_logits(logits, task_.labels).wrong;
    true_label_.assign(task_.labels.size(), true);
    for (const int64_t image : misclassified) true_label_[static_cast<std::size_t>(image)] = false;
}

UnlearnState Unlearning::snapshot() const {
    UnlearnState state{.step = step_,
                       .goal_in_a_row = goal_in_a_row_,
                       .seconds = seconds(),
                       .weights = {},
                       .optimizer = optimizer_.state()};
    for (const auto& [name, tensor] : model_.state()) state.weights.emplace_back(name, tensor.clone());
    return state;
}

double Unlearning::seconds() const {
    return seconds_before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

UnlearnResult Unlearning::loop(
    const std::function<bool(const StepTrace&, const std::function<UnlearnState()>&)>& on_step) {
    while (!ended()) {
        StepTrace trace;
        if (!step(trace)) break;
        const bool go_on = !on_step || on_step(trace, [this] { return snapshot(); });
        if (!go_on && !ended()) {
            finish(Verdict::not_forgotten,
                   concat("stopped from outside after step ", step_, " with ", text_of(standing())));
            break;
        }
    }
    result_.steps = step_;
    result_.seconds = seconds();
    return result_;
}

bool Unlearning::finish(Verdict verdict, std::string reason) {
    result_.verdict = verdict;
    result_.reason = std::move(reason);
    return true;
}

Standing Unlearning::standing() const {
    return {.step = step_,
            .goal_in_a_row = goal_in_a_row_,
            .correct = forget_correct_,
            .images = task_.images.dim(0),
            .relabels = relabels(),
            .seconds = seconds()};
}

bool Unlearning::ended() {
    const std::optional<Ending> end = ending(options_, standing());
    return end && finish(end->verdict, end->reason);
}

// One optimizer step and the test of D_f after it. False when the run has diverged.
bool Unlearning::step(StepTrace& trace) {
    constexpr int64_t passes_per_step = 4096;  // more than a step has
    set_dropout_position(model_.net(), options_.seed, step_ * passes_per_step);
    trace.step = step_ + 1;
    trace.lr = static_cast<double>(optimizer_.lr());
    trace.penalty = method_.importance ? optimizer_.penalty() : 0.0;
    accumulate_gradients(trace);
    if (!std::isfinite(trace.forget_loss) || !std::isfinite(trace.adversarial_loss) || !std::isfinite(trace.penalty))
        return !finish(Verdict::diverged, concat("a loss was no finite number at step ", trace.step));
    optimizer_.step();
    ++step_;
    if (!all_finite(model_.state(), model_.device()))
        return !finish(Verdict::diverged, concat("a weight was no finite number after step ", step_));
    return test(trace);
}

void Unlearning::accumulate_gradients(StepTrace& trace) {
    const double direction = relabels() ? 1 : -1;
    const bool weighted = options_.switches.size_weighted_ce;
    model_.net().zero_grad();
    if (!method_.adversarial) {
        const double weight = weighted ? 1.0 : static_cast<double>(options_.forget_weight);
        trace.forget_loss = add_forget_gradient(step_, direction * weight);
        return;
    }
    const int64_t rows = task_.adversarial.shape()[0], size = options_.adversarial_batch;
    const Batch adversarial = adversarial_batch(step_);
    const int64_t position = step_ % ((rows + size - 1) / size);  // zip(adversarial, cycle(D_f)) starts anew each pass
    const auto forget_size = static_cast<double>(forget_batch(position).size());
    const double share = forget_size / (forget_size + static_cast<double>(adversarial.size()));
    const double forget_weight = weighted ? share : static_cast<double>(options_.forget_weight);
    const double adversarial_weight = weighted ? 1 - share : static_cast<double>(options_.adversarial_weight);
    trace.adversarial_loss = add_gradient(adversarial_, adversarial, adversarial_weight);
    trace.forget_loss = add_forget_gradient(position, direction * forget_weight);
}

// The forgetting term. -CE = log p_y has two flaws: its gradient vanishes for the images that the model is surest of
// (and is exactly 0 in float32 beyond a margin of 17), and it has no minimum, so that images already misclassified are
// pushed on without bound, which only damages the model. Unless the switch asks for it, the log-odds log(p_y / (1 -
// p_y)) are lowered instead, averaged over the images that are still recognised.
double Unlearning::add_forget_gradient(int64_t position, double weight) {
    const Batch batch = forget_batch(position);
    if (relabels() || options_.switches.plain_ce) return add_gradient(forget_, batch, weight);
    return add_gradient(forget_, batch, -weight,
                        std::span(recognised_.data() + forget_begin(position), static_cast<std::size_t>(batch.size())));
}

// The test after a step. False when a logit is no finite number.
bool Unlearning::test(StepTrace& trace) {
    test_forget_set();
    if (!evaluation_.finite)
        return !finish(Verdict::diverged, concat("a logit was no finite number after step ", step_));
    trace.forget_correct = forget_correct_;
    trace.mean_margin = evaluation_.mean_margin;
    trace.max_margin = evaluation_.max_margin;
    trace.recognised = image_set(true_label_);
    goal_in_a_row_ = goal_met(options_, relabels(), evaluation_) ? goal_in_a_row_ + 1 : 0;
    trace.seconds = seconds();
    return true;
}

int64_t Unlearning::forget_begin(int64_t position) const {
    const int64_t size = options_.forget_batch, batches = (task_.images.dim(0) + size - 1) / size;
    return position % batches * size;
}

Batch Unlearning::forget_batch(int64_t position) const {
    const int64_t begin = forget_begin(position);
    return slice(task_.images, labels_, begin, std::min(task_.images.dim(0), begin + options_.forget_batch));
}

// Batches do not span the end of a pass.
Batch Unlearning::adversarial_batch(int64_t position) {
    const int64_t rows = task_.adversarial.shape()[0], size = options_.adversarial_batch;
    const int64_t batches = (rows + size - 1) / size, pass = position / batches;
    const int64_t begin = position % batches * size, end = std::min(rows, begin + size);
    if (!options_.shuffle && !options_.switches.adv_order_batch)
        return slice(task_.adversarial, task_.adversarial_labels, begin, end);
    if (pass != pass_) {
        pass_ = pass;
        pass_order_ = order_;
        if (options_.shuffle) {
            const Random random(options_.seed, Purpose::shuffle);
            const std::vector<int64_t> shuffled = random.permutation(rows, static_cast<uint64_t>(pass));
            for (std::size_t i = 0; i < shuffled.size(); ++i)
                pass_order_[i] = order_[static_cast<std::size_t>(shuffled[i])];
        }
    }
    return gather(
        task_.adversarial, task_.adversarial_labels,
        std::span(pass_order_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
}

// Adds the gradient of weight * mean CE or, where `recognised` is given, of weight * mean log-odds of the rows it
// marks; returns mean CE. Each batch has its own forward and backward pass: with batch statistics, BatchNorm must not
// see the two sets as one, and its running statistics see them in the order of calls.
double Unlearning::add_gradient(Terms& terms, const Batch& batch, double weight, std::span<const float> recognised) {
    const bool log_odds = !recognised.empty();
    Term& term = terms.try_emplace({batch.size(), weight}, device_).first->second;
    const auto total = static_cast<float>(weight),
               share = static_cast<float>(weight / static_cast<double>(batch.size()));
    term.load(batch, recognised, model_.device());
    term.graph.run([&] {
        Var logits = forward(term.images);
        Var loss = softmax_cross_entropy(logits, term.labels);
        term.loss = loss.value();
        if (log_odds)
            logits.backward(device_.log_odds_grad(logits.value(), term.labels, term.active, total));
        else
            loss.backward(Tensor::full(loss.shape(), share, model_.device()));
    });
    return mean_of(term.loss);
}

Var Unlearning::forward(const Tensor& images) {
    return model_.forward(images, options_.switches.bn_train_steps ? BatchNormMode::batch : BatchNormMode::running);
}

}  // namespace

void UnlearnOptions::validate() const {
    optimizer.validate();
    check(forget_batch >= 1, "unlearn: forget_batch is ", forget_batch, "; it must be >= 1");
    check(adversarial_batch >= 1, "unlearn: adversarial_batch is ", adversarial_batch, "; it must be >= 1");
    check(std::isfinite(lambda) && lambda >= 0, "unlearn: lambda is ", lambda, "; it must be a finite number >= 0");
    check(std::isfinite(forget_weight) && forget_weight >= 0, "unlearn: forget_weight is ", forget_weight,
          "; it must be a finite number >= 0");
    check(std::isfinite(adversarial_weight) && adversarial_weight >= 0, "unlearn: adversarial_weight is ",
          adversarial_weight, "; it must be a finite number >= 0");
    check(stop.in_a_row >= 1, "unlearn: in_a_row is ", stop.in_a_row, "; it must be >= 1");
    check(std::isfinite(stop.margin) && stop.margin >= 0, "unlearn: margin is ", stop.margin,
          "; it must be a finite number >= 0");
    check(stop.max_steps >= 1, "unlearn: max_steps is ", stop.max_steps, "; it must be >= 1");
    check(std::isfinite(stop.max_seconds) && stop.max_seconds >= 0, "unlearn: max_seconds is ", stop.max_seconds,
          "; it must be a finite number >= 0");
}

UnlearnOptions protocol_options(const std::string& name) {
    UnlearnOptions options;
    options.switches = protocol(name);
    if (name != "recommended") return options;
    options.optimizer = {.name = "adam", .lr = 2e-4f, .weight_decay = 0.0f};
    options.forget_weight = 0.05f;
    options.lambda = 0.01f;
    return options;
}

const char* name(Verdict verdict) {
    switch (verdict) {
        case Verdict::forgotten:
            return "forgotten";
        case Verdict::not_forgotten:
            return "not-forgotten";
        case Verdict::diverged:
            return "diverged";
    }
    return "";
}

UnlearnResult unlearn(Model& model, const Method& method, const ForgetTask& task, const UnlearnOptions& options,
                      const std::function<bool(const StepTrace&, const std::function<UnlearnState()>&)>& on_step,
                      const std::optional<UnlearnState>& resume) {
    options.validate();
    check_task(task, method, model.spec().classes);
    Unlearning run(model, method, task, options);
    if (resume)
        run.load(*resume);
    else
        run.test_forget_set();
    return run.loop(on_step);
}

std::vector<int64_t> adversarial_order(int64_t images, int64_t repeats, int64_t forget_batch, bool batch_major) {
    check(images >= 1 && repeats >= 1 && forget_batch >= 1,
          "unlearn: adversarial_order needs at least one image, one repeat and one image per batch");
    std::vector<int64_t> order;
    order.reserve(static_cast<std::size_t>(images * repeats));
    const int64_t size = batch_major ? forget_batch : images;
    for (int64_t begin = 0; begin < images; begin += size)
        for (int64_t repeat = 0; repeat < repeats; ++repeat)
            for (int64_t image = begin; image < std::min(images, begin + size); ++image)
                order.push_back(repeat * images + image);
    return order;
}

bool collapsed(int64_t correct, int64_t total, int64_t classes) {
    return total > 0 && 2 * correct * classes <= 3 * total;
}

}  // namespace lethe
