#include "bench/labs/convolution.h"

#include "tensor/error.h"

namespace LETHE_CUDA::labs {

Layer::Layer(const Size& size)
    : x{size[0], size[1], size[2], size[2]},
      w{size[3], size[1], size[4], size[4]},
      op{.stride = size[5], .pad = size[4] / 2},
      geometry(own_conv2d_geometry(x, w, op)) {
    y = op.output_shape(x, w);
}

std::string Layer::describe() const { return concat("x ", x, ", w ", w, ", stride ", op.stride); }

double Layer::operations() const {
    return 2.0 * static_cast<double>(y.numel()) * static_cast<double>(w.numel() / w[0]);
}

std::int64_t seen_at(const ConvGeometry& g, std::int64_t image, std::int64_t p, std::int64_t q, std::int64_t r,
                     std::int64_t s) {
    const std::int64_t row = p * g.stride + r - g.pad, column = q * g.stride + s - g.pad;
    if (row < 0 || row >= g.height || column < 0 || column >= g.width) return -1;
    return ((image * g.height + row) * g.width + column) * g.channels;
}

}  // namespace LETHE_CUDA::labs
