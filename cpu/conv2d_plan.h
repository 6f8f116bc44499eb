// oneDNN convolutions, each described once and kept.
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "tensor/ops.h"

namespace lethe {

enum class ConvKind : int64_t { forward, grad_x, grad_w };

struct ConvKey {
    ConvKind kind;
    int64_t images, channels, height, width;  // x
    int64_t filters, rows, columns;           // w
    int64_t stride, pad, groups;
    bool operator==(const ConvKey&) const = default;
};

// A convolution for one key. Activations are channels-last, weights in the layout that oneDNN prefers ("packed").
// run() may be called from several threads at once; each uses one OpenMP thread, because the pool's threads are the
// parallelism.
class ConvPlan {
public:
    explicit ConvPlan(const ConvKey& key);

    // forward: a = x, b = packed weights, out = y. grad_x: a = grad_y, b = packed weights, out = grad_x.
    // grad_w: a = x, b = grad_y, out = packed gradient of the weights.
    void run(const float* a, const float* b, float* out) const;

    int64_t packed_count() const;  // floats of packed weights
    void pack(const float* weights, float* packed) const;
    void unpack(const float* packed, float* weights) const;

private:
    // oneDNN's memory objects hold the address of a call's data, so each concurrent call needs its own set.
    struct Call {
        dnnl::memory a, b, out, scratch;
    };

    void describe_forward(const ConvKey& key);
    void describe_grad_x(const ConvKey& key);
    void describe_grad_w(const ConvKey& key);
    std::unique_ptr<Call> borrow_call() const;
    void return_call(std::unique_ptr<Call> call) const;
    static void convert(const dnnl::reorder& how, const dnnl::memory::desc& from_desc, const float* from,
                        const dnnl::memory::desc& to_desc, float* to);

    dnnl::primitive primitive_;
    dnnl::memory::desc a_, b_, out_, scratch_, plain_weights_, packed_weights_;
    int a_arg_ = 0, b_arg_ = 0, out_arg_ = 0;
    dnnl::reorder pack_, unpack_;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<Call>> idle_;
};

class ConvPlans {
public:
    const ConvPlan& get(const ConvKey& key);

private:
    struct Hash {
        std::size_t operator()(const ConvKey& key) const;
    };
    std::mutex mutex_;
    std::unordered_map<ConvKey, std::unique_ptr<ConvPlan>, Hash> plans_;
};

}  // namespace lethe
