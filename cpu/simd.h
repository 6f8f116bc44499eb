// The inner loops of the CPU backend, compiled once per instruction set and chosen at run time.
// This header is included by code built for processors that may not be the one at hand: it must pull in no inline code.
#pragma once

#include <stdint.h>

#include "tensor/elementwise.h"

namespace lethe::simd {

#define LETHE_COUNT(op, functor) +1
inline constexpr int unary_count = 0 LETHE_UNARY_OPS(LETHE_COUNT);
inline constexpr int binary_count = 0 LETHE_BINARY_OPS(LETHE_COUNT);
#undef LETHE_COUNT

// Channels-last arrays are walked as flat arrays with a periodic pattern: a per-channel constant c[C] becomes
// `period` floats, c repeated, where the period is a multiple of C and of the vector width (see Pattern in
// cpu/channels.h). Arrays start at a multiple of the period; their length `n` need not be one.

// y = relu?((x - mean) * scale + shift + residual?)
struct ChannelAffine {
    const float* mean;
    const float* scale;
    const float* shift;
    int64_t period;
    bool relu;
};

// gm = relu ? grad_y * (y > 0) : grad_y;  grad_x = scale * (gm - mean_grad - (x - mean) * slope)
struct BatchNormGradX {
    const float* scale;
    const float* mean;       // null: grad_x = scale * gm
    const float* mean_grad;  // per channel, the mean of gm
    const float* slope;
    int64_t period;
};

struct Pgd {
    bool l2;
    bool box_first;
    float eps, step, low, high, grad_floor;
};

struct SgdArrays {
    float* param;
    const float* grad;
    float* momentum;      // null: none
    const float* weight;  // of the penalty; null: none
    const float* anchor;
};
// What is done to an element of a gradient first: multiplied, then cut to [-most, most] (infinity: not).
struct Clip {
    float factor, most;
};
struct SgdFactors {
    float lr, momentum, weight_decay, lambda;
    bool nesterov, first_step;
    Clip clip;
};

struct AdamArrays {
    float* param;
    const float* grad;
    float* exp_avg;
    float* exp_avg_sq;
    const float* weight;  // of the penalty; null: none
    const float* anchor;
};
struct AdamFactors {
    float step_size, beta1, beta2, inv_sqrt_correction2, eps, weight_decay, lambda;
    float shrink;  // theta -= shrink * theta, before the update
    Clip clip;
};

// One image of a convolution with a kernel of 1x1 (pad 0) or 3x3 (pad 1), channels-last: y = relu?(conv(x) + bias? +
// residual?). conv_wide takes strides 1 and 2, Winograd's transforms stride 1.
struct ConvImage {
    int64_t height, width, in_channels;
    int64_t out_height, out_width, out_channels;
    int64_t kernel, stride;
    const float* bias;      // [out_channels] or null
    const float* residual;  // laid out as y, or null
    bool relu;
};

// One image of a depthwise convolution, channels-last, kernel x kernel taps with weights [taps][channels].
struct DepthwiseImage {
    int64_t height, width;          // of x
    int64_t out_height, out_width;  // of y
    int64_t channels, kernel, stride, pad;
    const float* bias;      // [channels] or null
    const float* residual;  // laid out as y, or null
    bool relu;
};

constexpr int64_t row_product_panel = 32;  // columns of a panel

// y [rows,columns] = relu?(x [rows,inner] w + bias? + residual?); rows of x and of y lie x_step and y_step floats
// apart. columns is a multiple of 16; w is packed in panels of 32 columns, the last perhaps of 16:
// [columns/32][inner][32].
struct RowProduct {
    int64_t rows, inner, columns, x_step, y_step;
    const float* bias;      // [columns] or null
    const float* residual;  // laid out as y, or null
    bool relu;
};

struct Kernels {
    const char* isa;

    void (*unary[unary_count])(const float* x, float* y, int64_t n);
    void (*unary_grad[unary_count])(const float* grad_y, const float* x, const float* y, float* out, int64_t n);
    void (*binary[binary_count])(const float* a, const float* b, float* y, int64_t n);
    // [..][0] for a, [..][1] for b
    void (*binary_grad[binary_count][2])(const float* grad_y, const float* a, const float* b, const float* y,
                                         float* out, int64_t n);
    void (*scale)(const float* x, float factor, float* y, int64_t n);
    void (*axpy)(float factor, const float* x, float* y, int64_t n);
    void (*abs_accumulate)(float factor, const float* x, float* y, int64_t n);
    // Where x[i] is larger than most[i], or the first NaN: most[i] = x[i] and where[i] = first + i.
    void (*keep_larger)(const float* x, int64_t first, float* most, int64_t* where, int64_t n);
    void (*relu_mask_add)(const float* a, const float* b, const float* y, float* out, int64_t n);  // b may be null

    // Sums in double: exact enough for any length that fits in memory, and safe from overflow of squares.
    double (*sum)(const float* x, int64_t n);
    double (*sum_squares)(const float* x, int64_t n);

    // Column sums of the pattern: sums[period] = sum over periods, as double.
    void (*lane_sums)(const float* x, int64_t n, int64_t period, double* sums);
    // Mean and sum of squared deviations of each lane's samples (lane j has one more than n / period if j < n %
    // period).
    void (*lane_moments)(const float* x, int64_t n, int64_t period, double* mean, double* m2);
    void (*channel_affine)(const float* x, const float* residual, float* y, int64_t n, const ChannelAffine& op);
    // sums[period] of gm and products[period] of gm * (x - mean); y null: no relu.
    void (*batchnorm_grad_sums)(const float* grad_y, const float* y, const float* x, const float* mean, int64_t n,
                                int64_t period, double* sums, double* products);
    // grad_x and grad_residual (= gm) may be null.
    void (*batchnorm_grad_x)(const float* grad_y, const float* y, const float* x, float* grad_x, float* grad_residual,
                             int64_t n, const BatchNormGradX& op);

    // y [rows,out] = x [rows,in] w^T [out,in] + b [out]
    void (*linear)(const float* x, const float* w, const float* b, float* y, int64_t rows, int64_t in, int64_t out);
    // grad_x [rows,in] = grad_y [rows,out] w [out,in]
    void (*linear_grad_x)(const float* grad_y, const float* w, float* grad_x, int64_t rows, int64_t in, int64_t out);
    // grad_w [out,in], rows [begin,end) of it, = grad_y^T [out,rows] x [rows,in]
    void (*linear_grad_w)(const float* grad_y, const float* x, float* grad_w, int64_t rows, int64_t in, int64_t out,
                          int64_t begin, int64_t end);

    // Each row of x [rows,features]: see Backend::layer_norm. mean and inv_std [rows] are written.
    void (*layer_norm)(const float* x, const float* gamma, const float* beta, float eps, float* y, float* mean,
                       float* inv_std, int64_t rows, int64_t features);
    void (*layer_norm_grad_x)(const float* grad_y, const float* x, const float* gamma, const float* mean,
                              const float* inv_std, float* grad_x, int64_t rows, int64_t features);
    // sums[features] += g and products[features] += g (x - mean) inv_std over the rows
    void (*layer_norm_grad_sums)(const float* grad_y, const float* x, const float* mean, const float* inv_std,
                                 int64_t rows, int64_t features, double* sums, double* products);
    // Each row becomes softmax(scale * row); and each row of g = d(loss)/d(p) becomes d(loss)/d(row), p the softmax.
    void (*softmax_rows)(float* x, float scale, int64_t rows, int64_t columns);
    void (*softmax_rows_grad)(const float* p, float* g, float scale, int64_t rows, int64_t columns);

    // One row of logits: probabilities, and the loss for `label` with label smoothing.
    float (*softmax_cross_entropy)(const float* logits, int64_t label, float smoothing, float* probabilities,
                                   int64_t classes);

    // One image of a projected gradient step; grad null: projection only.
    void (*pgd_step)(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op);

    // Null where this instruction set has none (oneDNN does the work then).
    // wide: out_channels is a multiple of 16; weights packed [out/16][kernel*kernel][in][16].
    void (*conv_wide)(const float* x, const float* packed, float* y, const ConvImage& op);
    // narrow: 3x3, stride 1, width at least 4, in_channels a multiple of 16, out_channels 1 to 4; weights packed
    // [kernel*kernel][out][in]. Neither bias nor residual nor relu: this is the gradient for the image of a first
    // layer.
    void (*conv_narrow)(const float* x, const float* packed, float* y, const ConvImage& op);
    void (*row_product)(const float* x, const float* packed, float* y, const RowProduct& op);

    // Winograd's F(2x2,3x3) for one image of a 3x3 convolution (stride 1, pad 1), one row of 2x2 tiles (pixel rows
    // 2 tile_row and one more), channels multiples of 16. v and m hold 16 matrices [tiles of the row][channels], whose
    // beginnings lie v_step and m_step floats apart; m[i] = v[i] u[i] with the transformed weights u[i] is the
    // caller's to compute.
    void (*winograd_input)(const float* x, int64_t tile_row, float* v, int64_t v_step, const ConvImage& op);
    void (*winograd_output)(const float* m, int64_t m_step, int64_t tile_row, float* y, const ConvImage& op);

    // y = relu?(conv(x) + bias? + residual?); the gradient for x; and weights += the gradient for the weights.
    void (*depthwise)(const float* x, const float* weights, float* y, const DepthwiseImage& op);
    void (*depthwise_grad_x)(const float* grad_y, const float* weights, float* grad_x, const DepthwiseImage& op);
    void (*depthwise_grad_w)(const float* grad_y, const float* x, float* weights, const DepthwiseImage& op);

    void (*sgd)(const SgdArrays& arrays, int64_t n, const SgdFactors& factors);
    void (*adam)(const AdamArrays& arrays, int64_t n, const AdamFactors& factors);
    void (*ema)(float* average, const float* value, int64_t n, float share);  // average += share * (value - average)
};

// The table for $LETHE_ISA ("avx512", "avx2" or "baseline"), or the best this processor runs. Throws Error for another
// value and for an instruction set that the processor lacks.
const Kernels& kernels();

// Only kernels() calls these, and only the one whose instruction set the processor has.
namespace avx512 {
Kernels make_table();
}
namespace avx2 {
Kernels make_table();
}
namespace baseline {
Kernels make_table();
}

}  // namespace lethe::simd
