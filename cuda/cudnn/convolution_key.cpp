#include "cuda/cudnn/convolution_key.h"

#include "tensor/error.h"

namespace lethe::cuda {

const char* name(ConvolutionKind kind) {
    switch (kind) {
        case ConvolutionKind::forward:
            return "forward";
        case ConvolutionKind::forward_bias:
            return "forward_bias";
        case ConvolutionKind::forward_bias_relu:
            return "forward_bias_relu";
        case ConvolutionKind::forward_bias_residual:
            return "forward_bias_residual";
        case ConvolutionKind::forward_bias_residual_relu:
            return "forward_bias_residual_relu";
        case ConvolutionKind::grad_x:
            return "grad_x";
        case ConvolutionKind::grad_x_relu_mask:
            return "grad_x_relu_mask";
        case ConvolutionKind::grad_x_skip_relu_mask:
            return "grad_x_skip_relu_mask";
        case ConvolutionKind::grad_w:
            return "grad_w";
    }
    fail("convolution: unknown kind ", static_cast<int>(kind));
}

const std::vector<ConvolutionKind>& all_convolution_kinds() {
    using enum ConvolutionKind;
    static const std::vector<ConvolutionKind> kinds = {forward,
                                                       forward_bias,
                                                       forward_bias_relu,
                                                       forward_bias_residual,
                                                       forward_bias_residual_relu,
                                                       grad_x,
                                                       grad_x_relu_mask,
                                                       grad_x_skip_relu_mask,
                                                       grad_w};
    return kinds;
}

ConvolutionKey convolution_key(ConvolutionKind kind, const Shape& x, const Shape& w, const Conv2d& op,
                               Precision precision) {
    return {.kind = kind,
            .images = x[0],
            .channels = x[1],
            .height = x[2],
            .width = x[3],
            .filters = w[0],
            .rows = w[2],
            .columns = w[3],
            .stride = op.stride,
            .pad = op.pad,
            .groups = op.groups,
            .precision = precision};
}

std::string describe(const ConvolutionKey& key) {
    return concat(name(key.kind), " ", key.images, "x", key.channels, "x", key.height, "x", key.width, ", ",
                  key.filters, " filters ", key.rows, "x", key.columns, ", stride ", key.stride, ", pad ", key.pad,
                  key.groups > 1 ? concat(", ", key.groups, " groups") : "", ", ", lethe::name(key.precision),
                  key.deterministic ? ", deterministic" : ", any order of additions");
}

}  // namespace lethe::cuda
