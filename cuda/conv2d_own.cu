#include <algorithm>

#include "cuda/conv2d_grouped.cuh"
#include "cuda/conv2d_own.h"
#include "cuda/launch_product.h"
#include "cuda/map.h"

namespace LETHE_CUDA {
namespace {

struct Fma {
    template <class Tile>
    using Product = FmaProduct<Tile>;
};
template <class Number>
struct TensorCores {
    template <class Tile>
    using Product = MmaProduct<Number, Tile>;
};

// Calls run.operator()<how to multiply>().
template <class T, class Run>
void with_units(Precision precision, Run&& run) {
    if constexpr (std::is_same_v<T, Bf16>) {
        run.template operator()<TensorCores<Bf16Pair>>();
    } else if (precision == Precision::strict) {
        run.template operator()<Fma>();
    } else {
        run.template operator()<TensorCores<Tf32>>();
    }
}

// Whether pixels with that many channels can be read 16 bytes at a time.
template <class T>
bool fits(int channels) {
    return channels % Pack<T>::size == 0;
}

// Few columns get a narrow tile, else most of the products would be with zeros.
template <class T, class A, class B>
void multiply(Precision precision, const A& a, const B& b, int depth, bool wide, const Epilogue<T>& to,
              cudaStream_t stream) {
    with_units<T>(precision, [&]<class Units>() {
        using Narrow = typename Units::template Product<Tile<128, 16>>;
        using Broad = typename Units::template Product<Tile<128, 64>>;
        constexpr int narrow = 32;
        if (!wide) {
            launch_product<Narrow, 1>(a, b, depth, to, stream);
        } else if (to.columns <= narrow) {
            launch_product<Narrow, wide_run>(a, b, depth, to, stream);
        } else {
            launch_product<Broad, wide_run>(a, b, depth, to, stream);
        }
    });
}

int taps(const ConvGeometry& g) { return g.rows * g.columns * (g.channels / g.groups); }  // behind an output
std::int64_t pixels(const ConvGeometry& g) { return std::int64_t{g.images} * g.out_height * g.out_width; }

// So many blocks keep a large GPU busy.
std::int64_t chunks_wanted(const ConvGeometry& g) {
    constexpr std::int64_t blocks = 264, tile = 64;
    return ceil_div(blocks, ceil_div(g.filters, tile) * ceil_div(taps(g), tile));
}

// Each chunk one sum over a range of pixels.
PixelChunks by_pixels(const ConvGeometry& g) {
    constexpr std::int64_t least = 256, step = 2 * tile_depth;
    const std::int64_t wanted = std::clamp<std::int64_t>(chunks_wanted(g), 1, ceil_div(pixels(g) + 1, least));
    const std::int64_t range = ceil_div(ceil_div(pixels(g) + 1, wanted), step) * step;
    const int chunks = static_cast<int>(std::max<std::int64_t>(ceil_div(pixels(g), range), 1));
    return {range, chunks, 1, chunks};
}

// Each group an image.
PixelChunks by_images(const ConvGeometry& g) {
    const std::int64_t images = std::max(g.images, 1);
    const int per_chunk = static_cast<int>(ceil_div(images, std::min(chunks_wanted(g), images)));
    return {std::int64_t{g.out_height} * g.out_width, g.images, per_chunk,
            static_cast<int>(ceil_div(images, per_chunk))};
}

std::int64_t workspace(const ConvGeometry& g, const PixelChunks& split) {
    return split.chunks == 1 ? 0 : std::int64_t{split.chunks} * g.filters * taps(g);
}

template <class Product, int width, bool absolute, class T>
void launch_grad_w(const LinesSideBySide<T>& grad_y, const PatchColumns<T>& patches, const PixelChunks& split,
                   const Epilogue<float>& to, cudaStream_t stream) {
    const int tiles_across = static_cast<int>(ceil_div(to.columns, Product::Tile::columns));
    const dim3 grid(static_cast<unsigned>(tiles<Product>(to.rows, to.columns)), static_cast<unsigned>(split.chunks));
    launch<grad_w_kernel<Product, width, absolute, T>>(grid, product_threads, 0, stream, grad_y, patches, split,
                                                       tiles_across, to);
}

template <bool absolute, class T>
void grouped_chunks(const ConvGeometry& g, const PixelChunks& split, const T* grad_y, const T* x, float* to,
                    cudaStream_t stream) {
    const dim3 grid(blocks_for(std::int64_t{g.filters} * taps(g)).x, static_cast<unsigned>(split.chunks));
    launch<grouped_grad_w_kernel<absolute, T>>(grid, block_threads, 0, stream, grad_y, x, g, split, to);
}

template <bool absolute, class T>
void product_chunks(const ConvGeometry& g, const PixelChunks& split, Precision precision, const T* grad_y, const T* x,
                    float* result, cudaStream_t stream) {
    const LinesSideBySide<T> gradients{grad_y, g.filters, g.filters};
    const PatchColumns<T> patches{{x, g}};
    const Epilogue<float> to = make_epilogue<float>(result, g.filters, taps(g), nullptr, nullptr, nullptr, false);
    const bool wide = fits<T>(g.channels) && fits<T>(g.filters) && aligned(grad_y, x);
    with_units<T>(precision, [&]<class Units>() {
        using Flat = typename Units::template Product<Tile<32, 64>>;
        using Square = typename Units::template Product<Tile<64, 64>>;
        constexpr int few = 32;
        if (!wide) {
            launch_grad_w<Flat, 1, absolute>(gradients, patches, split, to, stream);
        } else if (g.filters <= few) {
            launch_grad_w<Flat, wide_run, absolute>(gradients, patches, split, to, stream);
        } else {
            launch_grad_w<Square, wide_run, absolute>(gradients, patches, split, to, stream);
        }
    });
}

template <bool absolute, class T>
void grad_w(const ConvGeometry& g, const PixelChunks& split, Precision precision, const T* grad_y, const T* x,
            float* partial, float* result, cudaStream_t stream) {
    float* to = split.chunks == 1 ? result : partial;
    if (g.groups > 1)
        grouped_chunks<absolute>(g, split, grad_y, x, to, stream);
    else
        product_chunks<absolute>(g, split, precision, grad_y, x, to, stream);
    if (split.chunks == 1) return;
    constexpr int threads = 256;
    const std::int64_t size = std::int64_t{g.filters} * taps(g);
    launch<add_chunks_kernel>(static_cast<unsigned>(ceil_div(size, threads)), threads, 0, stream, partial, split.chunks,
                              size, result);
}

}  // namespace

ConvGeometry own_conv2d_geometry(const Shape& x, const Shape& w, const Conv2d& op) {
    const Shape y = op.output_shape(x, w);
    const auto size = [](std::int64_t value) { return product_size(value, "conv2d"); };
    size(x[0] * x[2] * x[3]);  // pixels
    size(y[0] * y[2] * y[3]);
    size(x[1] * x[2] * x[3]);  // elements of one image
    size(y[1] * y[2] * y[3]);
    size(w.numel() / std::max<std::int64_t>(w[0], 1));  // depths
    size(w.numel() / std::max<std::int64_t>(w[1], 1));
    size(x[2] + 2 * op.pad);
    size(x[3] + 2 * op.pad);
    return {size(x[0]), size(x[1]), size(x[2]), size(x[3]),      size(w[0]),   size(w[2]),
            size(w[3]), size(y[2]), size(y[3]), size(op.stride), size(op.pad), size(op.groups)};
}

template <class T>
void own_conv2d(const ConvGeometry& g, Precision precision, const T* x, const float* w, const float* bias,
                const T* residual, bool relu, T* y, cudaStream_t stream) {
    if (g.groups > 1) {
        launch<grouped_conv2d_kernel<T>>(blocks_for(pixels(g) * g.filters), block_threads, 0, stream, x, w, bias,
                                         residual, relu, g, y);
        return;
    }
    const Epilogue<T> to = make_epilogue<T>(y, static_cast<int>(pixels(g)), g.filters, bias, residual, nullptr, relu);
    multiply(precision, PatchRows<T>{{x, g}}, LinesAlongMemory<float>{w, g.filters, taps(g)}, taps(g),
             fits<T>(g.channels) && aligned(x, w), to, stream);
}

template <class T>
void own_conv2d_grad_x(const ConvGeometry& g, Precision precision, const T* grad_y, const float* w, const T* added,
                       const T* mask, T* grad_x, cudaStream_t stream) {
    const int rows = g.images * g.height * g.width;
    if (g.groups > 1) {
        launch<grouped_grad_x_kernel<T>>(blocks_for(std::int64_t{rows} * g.channels), block_threads, 0, stream, grad_y,
                                         w, added, mask, g, grad_x);
        return;
    }
    const Epilogue<T> to = make_epilogue<T>(grad_x, rows, g.channels, nullptr, added, mask, false);
    multiply(precision, GradPatchRows<T>{grad_y, g}, WeightsByChannel{w, g}, g.rows * g.columns * g.filters,
             fits<T>(g.filters) && fits<T>(g.channels) && aligned(grad_y, w), to, stream);
}

std::int64_t own_conv2d_grad_w_workspace(const ConvGeometry& g) { return workspace(g, by_pixels(g)); }
std::int64_t own_conv2d_grad_w_abs_workspace(const ConvGeometry& g) { return workspace(g, by_images(g)); }

template <class T>
void own_conv2d_grad_w(const ConvGeometry& g, Precision precision, const T* grad_y, const T* x, float* partial,
                       float* result, cudaStream_t stream) {
    grad_w<false>(g, by_pixels(g), precision, grad_y, x, partial, result, stream);
}

template <class T>
void own_conv2d_grad_w_abs(const ConvGeometry& g, Precision precision, const T* grad_y, const T* x, float* partial,
                           float* result, cudaStream_t stream) {
    grad_w<true>(g, by_images(g), precision, grad_y, x, partial, result, stream);
}

#define LETHE_INSTANTIATE(T)                                                                                           \
    template void own_conv2d(const ConvGeometry&, Precision, const T*, const float*, const float*, const T*, bool, T*, \
                             cudaStream_t);                                                                            \
    template void own_conv2d_grad_x(const ConvGeometry&, Precision, const T*, const float*, const T*, const T*, T*,    \
                                    cudaStream_t);                                                                     \
    template void own_conv2d_grad_w(const ConvGeometry&, Precision, const T*, const T*, float*, float*, cudaStream_t); \
    template void own_conv2d_grad_w_abs(const ConvGeometry&, Precision, const T*, const T*, float*, float*,            \
                                        cudaStream_t);
LETHE_INSTANTIATE(float)
LETHE_INSTANTIATE(Bf16)
#undef LETHE_INSTANTIATE

}  // namespace LETHE_CUDA
