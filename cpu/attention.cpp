#include <dnnl.h>

#include <cmath>
#include <new>

#include "cpu/backend.h"
#include "cpu/chunks.h"
#include "cpu/one_omp_thread.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// A matrix within rows that are `stride` floats apart.
template <class T>
struct Matrix {
    T* data;
    int64_t stride;
};

// c [m,n] = op(a) op(b), summed over k; 'T' transposes.
void product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, Matrix<const float> a, Matrix<const float> b,
             Matrix<float> c) {
    const dnnl_status_t status =
        dnnl_sgemm(op_a, op_b, m, n, k, 1.0f, a.data, a.stride, b.data, b.stride, 0.0f, c.data, c.stride);
    if (status == dnnl_out_of_memory) throw std::bad_alloc();
    check(status == dnnl_success, "attention: oneDNN has no product of ", m, "x", k, " with ", k, "x", n);
}

// The sizes of qkv [N,T,3D], and where a head's queries, keys, values and results lie.
struct Heads {
    Heads(const Shape& qkv, int64_t count)
        : heads(count), tokens(qkv[1]), features(qkv[2] / 3), size(features / count), tasks(qkv[0] * count) {}

    template <class T>
    Matrix<T> packed(T* qkv, int64_t task, int64_t which) const {
        return {qkv + (task / heads * tokens * 3 + which) * features + task % heads * size, 3 * features};
    }
    template <class T>
    Matrix<T> result(T* y, int64_t task) const {
        return {y + task / heads * tokens * features + task % heads * size, features};
    }

    int64_t heads, tokens, features, size;
    int64_t tasks;  // one per sample and head
    float scale() const { return 1.0f / std::sqrt(static_cast<float>(size)); }
};

}  // namespace

Tensor CpuBackend::attention_impl(const Tensor& qkv, int64_t heads, Tensor* probabilities) {
    const Heads h(qkv.shape(), heads);
    const int64_t square = h.tokens * h.tokens;
    Tensor y = Tensor::empty({qkv.dim(0), h.tokens, h.features});
    if (probabilities != nullptr) *probabilities = Tensor::empty({h.tasks, h.tokens, h.tokens});
    const float* from = qkv.data();
    float *to = y.mutable_data(), *kept = probabilities != nullptr ? probabilities->mutable_data() : nullptr;
    parallel_for(h.tasks, [&](int64_t task) {
        const OneOmpThread one;
        const Scratch<float> own(kept == nullptr ? square : 1);
        const Matrix<float> p{kept == nullptr ? own.data() : kept + task * square, h.tokens};
        product('N', 'T', h.tokens, h.tokens, h.size, h.packed(from, task, 0), h.packed(from, task, 1), p);
        kernels_.softmax_rows(p.data, h.scale(), h.tokens, h.tokens);
        product('N', 'N', h.tokens, h.size, h.tokens, {p.data, p.stride}, h.packed(from, task, 2), h.result(to, task));
    });
    return y;
}

Tensor CpuBackend::attention_grad_impl(const Tensor& grad_y, const Tensor& qkv, int64_t heads,
                                       const Tensor& probabilities) {
    const Heads h(qkv.shape(), heads);
    const int64_t square = h.tokens * h.tokens;
    Tensor grad = Tensor::empty(qkv.shape());
    const float *g = grad_y.data(), *from = qkv.data(), *ps = probabilities.data();
    float* to = grad.mutable_data();
    parallel_for(h.tasks, [&](int64_t task) {
        const OneOmpThread one;
        const Scratch<float> scores(square);
        const Matrix<const float> p{ps + task * square, h.tokens}, of_y = h.result(g, task);
        const Matrix<float> of_scores{scores.data(), h.tokens};
        product('T', 'N', h.tokens, h.size, h.tokens, p, of_y, h.packed(to, task, 2));
        product('N', 'T', h.tokens, h.tokens, h.size, of_y, h.packed(from, task, 2), of_scores);
        kernels_.softmax_rows_grad(p.data, scores.data(), h.scale(), h.tokens, h.tokens);
        const Matrix<const float> s{scores.data(), h.tokens};
        product('N', 'N', h.tokens, h.size, h.tokens, s, h.packed(from, task, 1), h.packed(to, task, 0));
        product('T', 'N', h.tokens, h.size, h.tokens, s, h.packed(from, task, 0), h.packed(to, task, 1));
    });
    return grad;
}

}  // namespace lethe
