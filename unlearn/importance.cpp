#include "unlearn/importance.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>

#include "autograd/ops.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

using Parameters = std::vector<Module::Parameter>;

// Copies of the model, one per thread that works at the same time: gradients are kept in the parameters, so threads
// cannot share them.
class Clones {
public:
    explicit Clones(const Model& model) : model_(model) {}

    std::unique_ptr<Model> take() {
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                std::unique_ptr<Model> model = std::move(free_.back());
                free_.pop_back();
                return model;
            }
        }
        std::unique_ptr<Model> model = model_.clone();
        model->net().set_requires_grad(true);
        return model;
    }

    void give_back(std::unique_ptr<Model> model) {
        model->net().zero_grad();
        const std::lock_guard lock(mutex_);
        free_.push_back(std::move(model));
    }

private:
    const Model& model_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Model>> free_;
};

// Tensors in the order of the model's parameters.
std::vector<Tensor> zeros_like(const Parameters& parameters) {
    std::vector<Tensor> result;
    for (const auto& [name, var] : parameters)
        result.push_back(Tensor::zeros(var.shape(), DType::float32, var.value().device()));
    return result;
}

// omega += factor * |gradient|. A parameter that no gradient reached does not matter for the output.
void accumulate(const Parameters& parameters, float factor, std::vector<Tensor>& omega) {
    for (std::size_t i = 0; i < parameters.size(); ++i)
        if (const Tensor& gradient = parameters[i].var.grad(); gradient.defined())
            backend(gradient).abs_accumulate(factor, gradient, omega[i]);
}

// Gradients of mean_i norm(f(x_i)) are added to the parameters'.
void backward_of_mean_norm(Model& model, const Tensor& images, BatchNormMode mode, bool squared) {
    const Var logits = model.forward(images, mode);
    const Var norms = squared ? square(logits) : row_norm(logits);
    scale(sum(norms), 1.0f / static_cast<float>(images.dim(0))).backward();
}

// A GPU takes many samples at once: one backward pass gives the sum of their gradients' magnitudes.
std::vector<Tensor> per_sample_at_once(const Model& model, const Tensor& images, bool squared) {
    // 256 CIFAR images, or as many pixels.
    const int64_t chunk = std::max<int64_t>(1, 256 * 32 * 32 / (images.dim(2) * images.dim(3)));
    const std::unique_ptr<Model> own = Clones(model).take();
    const Parameters parameters = own->net().parameters();
    std::vector<Tensor> omega = zeros_like(parameters);
    const PerSampleMagnitudes magnitudes;
    const int64_t n = images.dim(0);
    for (int64_t begin = 0; begin < n; begin += chunk) {
        const int64_t end = std::min(n, begin + chunk);
        own->net().zero_grad();
        backward_of_mean_norm(*own, images.rows(begin, end), BatchNormMode::running, squared);
        accumulate(parameters, static_cast<float>(end - begin) / static_cast<float>(n), omega);
    }
    return omega;
}

// The sum over the samples i < n of what add(model, i, sum) adds: threads take samples, each with a model of its own
// whose gradients are 0, and one thread where the device works for one at a time.
std::vector<Tensor> sum_over_samples(
    const Model& model, int64_t n,
    const std::function<void(Model&, const Parameters&, int64_t, std::vector<Tensor>&)>& add) {
    // Partial sums over a fixed number of chunks, added in their order: the result does not depend on the threads. Each
    // costs as much memory as the model, so it is added as soon as those before it have been.
    constexpr int64_t most_chunks = 16;
    const int64_t chunk = (n + most_chunks - 1) / most_chunks, chunks = (n + chunk - 1) / chunk;
    std::mutex mutex;
    std::vector<std::vector<Tensor>> partial(static_cast<std::size_t>(chunks));
    std::vector<Tensor> total;
    std::size_t added = 0;
    const auto add_finished = [&] {
        for (; added < partial.size() && !partial[added].empty(); ++added) {
            std::vector<Tensor> next = std::move(partial[added]);
            if (added == 0)
                total = std::move(next);
            else
                for (std::size_t i = 0; i < total.size(); ++i) backend(total[i]).axpy(1.0f, next[i], total[i]);
        }
    };
    Clones clones(model);
    const auto chunk_sum = [&](int64_t c) {
        std::unique_ptr<Model> own = clones.take();
        const Parameters parameters = own->net().parameters();
        std::vector<Tensor> omega = zeros_like(parameters);
        for (int64_t i = c * chunk; i < std::min(n, (c + 1) * chunk); ++i) {
            own->net().zero_grad();
            add(*own, parameters, i, omega);
        }
        clones.give_back(std::move(own));
        const std::lock_guard lock(mutex);
        partial[static_cast<std::size_t>(c)] = std::move(omega);
        add_finished();
    };
    if (backend(model.device()).concurrent())
        parallel_for(chunks, chunk_sum);
    else
        for (int64_t c = 0; c < chunks; ++c) chunk_sum(c);
    return total;
}

std::vector<Tensor> per_sample(const Model& model, const Tensor& images, bool squared) {
    if (!backend(images).concurrent()) return per_sample_at_once(model, images, squared);
    const float share = 1.0f / static_cast<float>(images.dim(0));
    return sum_over_samples(model, images.dim(0),
                            [&](Model& own, const Parameters& parameters, int64_t i, std::vector<Tensor>& omega) {
                                backward_of_mean_norm(own, images.rows(i, i + 1), BatchNormMode::running, squared);
                                accumulate(parameters, share, omega);
                            });
}

std::vector<Tensor> batch_mean(const Model& model, const Tensor& images, const ImportanceOptions& options) {
    const std::unique_ptr<Model> own = Clones(model).take();
    const Parameters parameters = own->net().parameters();
    const BatchNormMode mode = options.batch_statistics ? BatchNormMode::batch_no_update : BatchNormMode::running;
    std::vector<Tensor> omega = zeros_like(parameters);
    const int64_t n = images.dim(0);
    for (int64_t begin = 0; begin < n; begin += options.batch_size) {
        const int64_t end = std::min(n, begin + options.batch_size);
        if (!options.keep_gradients) own->net().zero_grad();
        backward_of_mean_norm(*own, images.rows(begin, end), mode, options.squared);
        accumulate(parameters, static_cast<float>(end - begin) / static_cast<float>(n), omega);
    }
    return omega;
}

StateDict by_name(const Model& model, const std::vector<Tensor>& values) {
    StateDict result;
    const Parameters parameters = model.net().parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) result.emplace_back(parameters[i].name, values[i].cpu());
    return result;
}

}  // namespace

StateDict mas_importance(Model& model, const Tensor& images, const ImportanceOptions& options) {
    const bool per_row = options.form == ImportanceOptions::Form::per_sample;
    check(images.defined() && images.rank() == 4 && images.numel() > 0,
          "importance: images must be [N,3,H,W] with at least one image and pixel");
    check(!(per_row && options.batch_statistics),
          "importance: the per-sample form has no batch, so it cannot use batch statistics");
    check(!(per_row && options.keep_gradients),
          "importance: the per-sample form has no batches to keep gradients between");
    check(options.batch_size >= 1, "importance: batch_size is ", options.batch_size, "; it must be >= 1");
    model.net().zero_grad();
    const Tensor there = images.to(model.device());
    const std::vector<Tensor> omega =
        per_row ? per_sample(model, there, options.squared) : batch_mean(model, there, options);
    return by_name(model, omega);
}

StateDict fisher_diagonal(const Model& model, const Tensor& images, const Tensor& labels) {
    check(images.defined() && images.rank() == 4 && images.numel() > 0,
          "importance: images must be [N,3,H,W] with at least one image and pixel");
    const Tensor there = images.to(model.device()), classes = labels.to(model.device());
    const float share = 1.0f / static_cast<float>(images.dim(0));
    return by_name(
        model, sum_over_samples(model, images.dim(0),
                                [&](Model& own, const Parameters& parameters, int64_t i, std::vector<Tensor>& fisher) {
                                    const Var logits = own.forward(there.rows(i, i + 1), BatchNormMode::running);
                                    sum(softmax_cross_entropy(logits, classes.rows(i, i + 1))).backward();
                                    for (std::size_t p = 0; p < parameters.size(); ++p)
                                        if (const Tensor& gradient = parameters[p].var.grad(); gradient.defined())
                                            backend(gradient).axpy(
                                                share, backend(gradient).unary(Unary::square, gradient), fisher[p]);
                                }));
}

StateDict penalty_weights(const StateDict& omega, std::vector<std::string>* degenerate) {
    StateDict result;
    for (const auto& [name, values] : omega) {
        check(values.numel() > 0, "importance: '", name, "' is empty");
        const auto [low, high] = std::minmax_element(values.values().begin(), values.values().end());
        check(std::all_of(values.values().begin(), values.values().end(), [](float v) { return std::isfinite(v); }),
              "importance: '", name, "' holds NaN or infinity");
        const float minimum = *low, range = *high - *low;
        Tensor weights = Tensor::full(values.shape(), 1.0f);
        if (range > 0) {
            float* out = weights.mutable_data();
            for (int64_t i = 0; i < values.numel(); ++i) out[i] = 1.0f - (values.data()[i] - minimum) / range;
        } else if (degenerate != nullptr) {
            degenerate->push_back(name);
        }
        result.emplace_back(name, std::move(weights));
    }
    return result;
}

}  // namespace lethe
