#include "unlearn/unlearn.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

#include "nn/layers.h"
#include "tensor/error.h"
#include "tensor/random.h"
#include "unlearn/image_set.h"
#include "unlearn/method_step.h"
#include "unlearn/metrics.h"
#include "unlearn/step_terms.h"
#include "unlearn/stop.h"

namespace lethe {
namespace {

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

OptimizerSpec optimizer_of(const Method& method, const UnlearnOptions& options) {
    OptimizerSpec spec = options.optimizer;
    if (method.distillation) spec = {.name = "adam", .lr = options.distill.lr, .weight_decay = 0.0f};
    spec.decay_all = options.switches.decay_all;
    return spec;
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
          optimizer_(model.net().parameters(), optimizer_of(method, options)),
          twin_(fold_batchnorm(model)),
          gradients_(model, options.switches.bn_train_steps && !method.distillation),
          // the labels whose cross entropy moves and whose count is the goal
          labels_(method.objective == Objective::relabel ? task.relabels : task.labels) {
        if (method.importance) optimizer_.set_penalty(task.penalty, options.lambda);
        if (method.adversarial)
            order_ = adversarial_order(task.images.dim(0), task.adversarial.shape()[0] / task.images.dim(0),
                                       options.forget_batch, options.switches.adv_order_batch);
        if (method.distillation) distillation_.emplace(model, task, options.distill, method.views, options.seed);
        if (method.make != nullptr) own_ = method.make({model, task, options});
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
    StepBatch forget_batch(int64_t position) const;
    double add_forget_gradient(int64_t position, double weight);
    StepBatch adversarial_batch(int64_t position);
    void distill(StepTrace& trace);
    StepBatch with_views(const StepBatch& batch, std::vector<float>& recognised, StepTrace& trace);
    double add_distillation_gradient();
    double add_gradient(Terms& terms, const StepBatch& batch, double weight, std::span<const float> recognised = {},
                        Average average = Average::marked) {
        return gradients_.cross_entropy(terms, batch, weight, recognised, average);
    }
    double seconds() const;
    UnlearnState snapshot() const;

    // By how many logits an image must be wrong for the forgetting term to leave it alone.
    double forget_margin() const {
        return method_.distillation ? std::max(options_.stop.margin, double{options_.distill.margin})
                                    : options_.stop.margin;
    }
    bool relabels() const { return method_.objective == Objective::relabel; }

    Model& model_;
    const Method& method_;
    const ForgetTask& task_;
    const UnlearnOptions& options_;
    Backend& device_;
    Optimizer optimizer_;
    std::unique_ptr<Model> twin_;
    Gradients gradients_;
    std::vector<int64_t> labels_;
    Terms forget_, adversarial_, proxies_;
    std::optional<Distillation> distillation_;
    std::unique_ptr<MethodStep> own_;  // of the methods that say themselves what a step is
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
    recognised_ = still_recognised(logits, labels_, forget_margin());
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
            .fixed_steps = fixed_steps(method_, options_),
            .in_a_row = needed_in_a_row(method_, options_),
            .settles = method_.views,
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
    if (method_.views) {  // the nearer to the end, the shorter: what noise there is in the weights goes
        const auto rest = static_cast<float>(needed_in_a_row(method_, options_) - goal_in_a_row_);
        optimizer_.set_lr(options_.distill.lr * rest / static_cast<float>(needed_in_a_row(method_, options_)));
    }
    trace.lr = static_cast<double>(optimizer_.lr());
    trace.penalty = method_.importance ? optimizer_.penalty() : 0.0;
    accumulate_gradients(trace);
    if (!std::isfinite(trace.forget_loss) || !std::isfinite(trace.adversarial_loss) || !std::isfinite(trace.penalty) ||
        !std::isfinite(trace.distillation) || !std::isfinite(trace.retain_loss))
        return !finish(Verdict::diverged, concat("a loss was no finite number at step ", trace.step));
    if (own_)
        own_->apply(optimizer_);
    else
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
    if (own_) return own_->accumulate(step_, trace);
    if (method_.distillation) return distill(trace);
    if (!method_.adversarial) {
        const double weight = weighted ? 1.0 : static_cast<double>(options_.forget_weight);
        trace.forget_loss = add_forget_gradient(step_, direction * weight);
        return;
    }
    const int64_t rows = task_.adversarial.shape()[0], size = options_.adversarial_batch;
    const StepBatch adversarial = adversarial_batch(step_);
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
    const StepBatch batch = forget_batch(position);
    if (relabels() || options_.switches.plain_ce) return add_gradient(forget_, batch, weight);
    return add_gradient(forget_, batch, -weight,
                        std::span(recognised_.data() + forget_begin(position), static_cast<std::size_t>(batch.size())));
}

// The forgetting term is averaged over all rows: as images are lost the pull of the others does not grow, and the steps
// turn to what the proxies say.
void Unlearning::distill(StepTrace& trace) {
    trace.distillation = add_distillation_gradient();
    StepBatch batch = forget_batch(step_);
    const auto first = recognised_.begin() + forget_begin(step_);
    std::vector<float> recognised(first, first + batch.size());
    if (method_.views) batch = with_views(batch, recognised, trace);
    trace.forget_loss = add_gradient(forget_, batch, 1.0, recognised, Average::all);
}

// The batch and changed copies of it; `recognised` grows by theirs, as the model is before the step.
StepBatch Unlearning::with_views(const StepBatch& batch, std::vector<float>& recognised, StepTrace& trace) {
    const int64_t copies = options_.distill.views, rows = batch.size();
    constexpr float noise = 0.03f;
    const Random random(options_.seed, Purpose::weak_view);
    const Tensor views =
        weak_views(batch.images, copies, noise, random, static_cast<uint64_t>(step_ * copies * options_.forget_batch));
    Tensor images = Tensor::empty(views.shape().with_rows(rows + views.dim(0)));
    images.rows(0, rows).copy_from(batch.images);
    images.rows(rows, images.dim(0)).copy_from(views);
    const auto own = batch.labels.int64_data();
    std::vector<int64_t> labels;
    for (int64_t copy = 0; copy <= copies; ++copy) labels.insert(labels.end(), own, own + rows);
    const std::span<const int64_t> of_views = std::span(labels).subspan(static_cast<std::size_t>(rows));
    const Tensor logits = predict(*twin_, views);
    trace.views = views.dim(0);
    trace.views_correct = evaluate_logits(logits, of_views).accuracy.correct;
    const std::vector<float> seen = still_recognised(logits, of_views, forget_margin());
    recognised.insert(recognised.end(), seen.begin(), seen.end());
    return {images, Tensor::from_int64({images.dim(0)}, labels)};
}

double Unlearning::add_distillation_gradient() {
    const Proxies proxies = distillation_->proxies(step_);
    const float weight = method_.views ? options_.distill.views_weight : options_.distill.weight;
    const float temperature = options_.distill.temperature;
    const Tensor logits = gradients_.divergence(proxies_, proxies.images, proxies.target, weight, temperature);
    return mean_kl(proxies.target, logits, static_cast<double>(temperature));
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
    goal_in_a_row_ =
        goal_in_a_row(options_, relabels(), evaluation_, {trace.views_correct, trace.views}, goal_in_a_row_);
    trace.seconds = seconds();
    return true;
}

int64_t Unlearning::forget_begin(int64_t position) const {
    const int64_t size = options_.forget_batch, batches = (task_.images.dim(0) + size - 1) / size;
    return position % batches * size;
}

StepBatch Unlearning::forget_batch(int64_t position) const {
    const int64_t begin = forget_begin(position);
    return slice_batch(task_.images, labels_, begin, std::min(task_.images.dim(0), begin + options_.forget_batch));
}

// Batches do not span the end of a pass.
StepBatch Unlearning::adversarial_batch(int64_t position) {
    const int64_t rows = task_.adversarial.shape()[0], size = options_.adversarial_batch;
    const int64_t batches = (rows + size - 1) / size, pass = position / batches;
    const int64_t begin = position % batches * size, end = std::min(rows, begin + size);
    if (!options_.shuffle && !options_.switches.adv_order_batch)
        return slice_batch(task_.adversarial, task_.adversarial_labels, begin, end);
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
    return gather_batch(
        task_.adversarial, task_.adversarial_labels,
        std::span(pass_order_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
}

}  // namespace

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
    task.validate(method, model.spec().classes);
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
