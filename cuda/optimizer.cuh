// SGD and Adam over many tensors in one launch: a network's hundred small parameters would cost a hundred launches.
#pragma once

#include "cuda/map.cuh"
#include "cuda/rows.cuh"

namespace LETHE_CUDA {

// What every parameter tensor brings. Pointers that do not apply are null.
struct UpdatedTensor {
    float* param;
    const float* grad;
    const float* weight;  // of the penalty
    const float* anchor;
    float weight_decay;
    bool aligned;          // all addresses, to 16 bytes
    unsigned first_chunk;  // the block of its first chunk
    int64_t numel;
};

// The tensors of one launch travel as an argument of the kernel, of 4 KB at most. Block b works on chunk
// b - first_chunk of the last tensor with first_chunk <= b.
template <class Tensor>
struct TensorList {
    static constexpr int most = 3584 / static_cast<int>(sizeof(Tensor));
    int count;
    Tensor tensors[most];
};
constexpr int64_t update_chunk = 4096;  // elements per block

// What is done to a gradient first: multiplied, then cut to [-most, most] (infinity: not). NaN stays.
struct Clip {
    const float* factor;  // null: 1
    float most;

    __device__ float of(float g) const {
        if (factor != nullptr) g *= *factor;
        g = g > most ? most : g;
        return g < -most ? -most : g;
    }
};

// The gradient, clipped, with weight decay and the pull of the penalty.
template <int width>
__device__ __forceinline__ Floats<width> full_gradient(const UpdatedTensor& t, int64_t i, const Floats<width>& theta,
                                                       const Clip& clip, float weight_decay, float lambda) {
    Floats<width> g = read<width>(t.grad + i);
    for (int j = 0; j < width; ++j) g.at[j] = clip.of(g.at[j]) + weight_decay * theta.at[j];
    if (t.weight == nullptr) return g;
    const Floats<width> weight = read<width>(t.weight + i), anchor = read<width>(t.anchor + i);
    for (int j = 0; j < width; ++j) g.at[j] += lambda * weight.at[j] * (theta.at[j] - anchor.at[j]);
    return g;
}

struct SgdTensor : UpdatedTensor {
    float* momentum;
};
struct SgdUpdate {
    using Tensor = SgdTensor;
    const float* scalars;  // when not null, lr and momentum are read there
    float lr, momentum, lambda;
    bool nesterov, first_step;
    Clip clip;

    __device__ void prepare() {
        if (scalars == nullptr) return;
        lr = scalars[0];
        momentum = scalars[1];
    }

    template <int width>
    __device__ void apply(const SgdTensor& t, int64_t i) const {
        Floats<width> theta = read<width>(t.param + i);
        Floats<width> g = full_gradient(t, i, theta, clip, t.weight_decay, lambda);
        if (t.momentum != nullptr) {
            Floats<width> v = g;
            if (!first_step) v = read<width>(t.momentum + i);
            for (int j = 0; j < width; ++j) {
                if (!first_step) v.at[j] = momentum * v.at[j] + g.at[j];
                g.at[j] = nesterov ? g.at[j] + momentum * v.at[j] : v.at[j];
            }
            write(t.momentum + i, v);
        }
        for (int j = 0; j < width; ++j) theta.at[j] -= lr * g.at[j];
        write(t.param + i, theta);
    }
};

struct AdamTensor : UpdatedTensor {
    float *exp_avg, *exp_avg_sq;
};
struct AdamUpdate {
    using Tensor = AdamTensor;
    const float* scalars;  // when not null, the first four are read there
    float step_size, inv_sqrt_correction2, lr, beta1, beta2, eps, lambda;
    bool decoupled;
    Clip clip;

    __device__ void prepare() {
        if (scalars == nullptr) return;
        step_size = scalars[0];
        inv_sqrt_correction2 = scalars[1];
        lr = scalars[2];
        beta1 = scalars[3];
    }

    template <int width>
    __device__ void apply(const AdamTensor& t, int64_t i) const {
        Floats<width> theta = read<width>(t.param + i), m = read<width>(t.exp_avg + i),
                      v = read<width>(t.exp_avg_sq + i);
        const Floats<width> g = full_gradient(t, i, theta, clip, decoupled ? 0.0f : t.weight_decay, lambda);
        const float shrink = decoupled ? lr * t.weight_decay : 0.0f;
        for (int j = 0; j < width; ++j) {
            theta.at[j] -= shrink * theta.at[j];
            m.at[j] = beta1 * m.at[j] + (1.0f - beta1) * g.at[j];
            v.at[j] = beta2 * v.at[j] + (1.0f - beta2) * g.at[j] * g.at[j];
            theta.at[j] -= step_size * m.at[j] / (sqrtf(v.at[j]) * inv_sqrt_correction2 + eps);
        }
        write(t.exp_avg + i, m);
        write(t.exp_avg_sq + i, v);
        write(t.param + i, theta);
    }
};

// param is the average, grad the value.
struct EmaUpdate {
    using Tensor = UpdatedTensor;
    const float* scalars;  // when not null, decay is read there
    float decay;

    __device__ void prepare() {
        if (scalars != nullptr) decay = scalars[0];
    }

    template <int width>
    __device__ void apply(const UpdatedTensor& t, int64_t i) const {
        Floats<width> average = read<width>(t.param + i);
        const Floats<width> value = read<width>(t.grad + i);
        for (int j = 0; j < width; ++j) average.at[j] += (1.0f - decay) * (value.at[j] - average.at[j]);
        write(t.param + i, average);
    }
};

// The tensor that the block works on.
template <class Tensor>
__device__ __forceinline__ const Tensor& tensor_of_block(const TensorList<Tensor>& list) {
    int which = 0;
    while (which + 1 < list.count && list.tensors[which + 1].first_chunk <= blockIdx.x) ++which;
    return list.tensors[which];
}

template <class Update>
__global__ void update_kernel(TensorList<typename Update::Tensor> list, Update update) {
    update.prepare();
    const typename Update::Tensor t = tensor_of_block(list);
    const int64_t begin = (blockIdx.x - t.first_chunk) * update_chunk, end = min(begin + update_chunk, t.numel);
    constexpr int width = Pack<float>::size;
    const int64_t whole = t.aligned ? begin + (end - begin) / width * width : begin;
    for (int64_t i = begin + threadIdx.x * width; i < whole; i += blockDim.x * width)
        update.template apply<width>(t, i);
    for (int64_t i = whole + threadIdx.x; i < end; i += blockDim.x) update.template apply<1>(t, i);
}

struct SquaredTensor {
    const float* values;
    unsigned first_chunk;
    int64_t numel;
};

// One partial sum of squares per block.
__global__ void square_sum_kernel(TensorList<SquaredTensor> list, double* partial) {
    const SquaredTensor t = tensor_of_block(list);
    const int64_t begin = (blockIdx.x - t.first_chunk) * update_chunk, end = min(begin + update_chunk, t.numel);
    const double sum = block_sum_of(t.values + begin, end - begin, [](double value) { return value * value; });
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block.
__global__ void clip_factor_kernel(const double* __restrict__ partial, int64_t count, float max_norm,
                                   float* __restrict__ factor) {
    double squares = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) squares += partial[i];
    const double norm = sqrt(block_sum(squares));
    if (threadIdx.x != 0) return;
    const double ratio = static_cast<double>(max_norm) / (norm + 1e-6);
    factor[0] = ratio > 1.0 ? 1.0f : static_cast<float>(ratio);  // NaN stays
    factor[1] = static_cast<float>(norm);
}

}  // namespace LETHE_CUDA
