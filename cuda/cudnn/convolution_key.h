// What distinguishes one cuDNN convolution from another.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/backend.h"

namespace lethe::cuda {

enum class ConvolutionKind {
    forward,                     // y = conv(x, w)
    forward_bias,                // y = conv(x, w) + bias
    forward_bias_relu,           // y = max(conv(x, w) + bias, 0)
    forward_bias_residual,       // y = conv(x, w) + bias + added
    forward_bias_residual_relu,  // y = max(conv(x, w) + bias + added, 0)
    grad_x,                      // gradient for x
    grad_x_relu_mask,            // gradient for x where mask > 0, else 0
    grad_x_skip_relu_mask,       // gradient for x + added where mask > 0, else 0
    grad_w,                      // gradient for w
};

const char* name(ConvolutionKind kind);
const std::vector<ConvolutionKind>& all_convolution_kinds();

// Dimensions as in tensor/ops.h: x [images, channels, height, width], w [filters, channels / groups, rows, columns].
// Everything read and written is float32, or everything bfloat16 with Precision::bf16, sums in float32 either way.
// (cuDNN 9.19 has precompiled kernels neither for a float32 bias nor for a float32 grad_w of bfloat16 operands: callers
// convert.)
struct ConvolutionKey {
    ConvolutionKind kind = ConvolutionKind::forward;
    int64_t images = 1, channels = 1, height = 1, width = 1;
    int64_t filters = 1, rows = 1, columns = 1;
    int64_t stride = 1, pad = 0, groups = 1;
    Precision precision = Precision::strict;
    bool deterministic = true;  // the same bits every time

    int64_t out_height() const { return (height + 2 * pad - rows) / stride + 1; }
    int64_t out_width() const { return (width + 2 * pad - columns) / stride + 1; }

    auto operator<=>(const ConvolutionKey&) const = default;
};

ConvolutionKey convolution_key(ConvolutionKind kind, const Shape& x, const Shape& w, const Conv2d& op,
                               Precision precision);

// One line, unique to the key: "grad_x 128x64x32x32, 64 filters 3x3, stride 1, pad 1, tf32, deterministic".
std::string describe(const ConvolutionKey& key);

}  // namespace lethe::cuda
