#include <algorithm>

#include "cuda/conv2d_narrow.cuh"
#include "cuda/conv2d_narrow.h"
#include "cuda/launch_product.h"

namespace LETHE_CUDA {
namespace {

// Blocks take several tiles where there are more than run at once, since each reads the weights. The results do not
// depend on it. (An H100's numbers; the emulator's make small tests see blocks with several tiles.)
#ifdef LETHE_EMULATED
constexpr std::int64_t multiprocessors = 2;
#else
constexpr std::int64_t multiprocessors = 132;
#endif
constexpr std::size_t shared_of_multiprocessor = 228 * 1024, shared_beside = 2 * 1024;  // static, and the system's

// Beyond, cuDNN is as fast or faster. On an H200, ms for a step of the attack on 320 images (ResNet-20) and of training
// with 512 (ResNet-18), with up to 64, 32 and 16 channels left to this kernel: bfloat16 0.898, 0.850, 0.891 and 7.71,
// 7.01, 7.01; TF32 1.57, 1.35, 1.30 and 15.8, 13.3, 13.3.
template <class T>
constexpr std::int64_t widest = std::is_same_v<T, Bf16> ? 32 : 16;

template <class T>
bool is_narrow(std::int64_t channels) {
    return channels == 16 || channels == widest<T>;
}

template <class T>
bool fits_narrow(const Shape& x, const Shape& w, const Conv2d& op) {
    constexpr std::int64_t most_pixels = 1 << 30;  // tiles reach beyond the images, and all is counted in ints
    return w[2] == 3 && w[3] == 3 && op.stride == 1 && op.pad == 1 && op.groups == 1 && is_narrow<T>(w[0]) &&
           is_narrow<T>(w[1]) && x[0] * x[2] * x[3] < most_pixels;
}

// The shape of tile that needs the fewest: each of 256 pixels, whatever part of them lies outside of the images.
NarrowTiles narrow_tiles(const Shape& x) {
    const auto size = [](std::int64_t value) { return static_cast<int>(value); };
    const auto tiles = [&](int height, int width) {
        return NarrowTiles(size(x[0]), size(x[2]), size(x[3]), height, width);
    };
    return std::min({tiles(8, 32), tiles(16, 16), tiles(8, 8)},
                    [](const NarrowTiles& a, const NarrowTiles& b) { return a.count < b.count; });
}

template <int channels, int filters, class T>
void start_narrow(const T* x, const NarrowWeights& w, const NarrowTiles& tiles, const Epilogue<T>& to,
                  cudaStream_t stream) {
    using Number = std::conditional_t<std::is_same_v<T, Bf16>, Bf16Pair, Tf32>;
    const std::size_t shared = NarrowProduct<Number, channels, filters>::shared_bytes(tiles);
    const std::size_t resident =
        std::clamp<std::size_t>(shared_of_multiprocessor / (shared + shared_beside), 1, narrow_blocks<filters>);
    const std::int64_t blocks =
        std::min<std::int64_t>(tiles.count, multiprocessors * static_cast<std::int64_t>(resident));
    launch<narrow_conv2d_kernel<Number, channels, filters, T>>(static_cast<unsigned>(blocks), narrow_threads, shared,
                                                               stream, x, w, tiles, to);
}

// x [N,H,W,channels], `to` with a column per filter.
template <class T>
bool narrow_convolve(const Shape& shape, int channels, const T* x, const NarrowWeights& w, const Epilogue<T>& to,
                     cudaStream_t stream) {
    if (!to.wide || !is_aligned16(x)) return false;
    if (to.rows == 0) return true;
    const NarrowTiles tiles = narrow_tiles(shape);
    if constexpr (widest<T> == 16) {
        start_narrow<16, 16>(x, w, tiles, to, stream);
    } else if (channels == 16) {
        to.columns == 16 ? start_narrow<16, 16>(x, w, tiles, to, stream)
                         : start_narrow<16, 32>(x, w, tiles, to, stream);
    } else {
        to.columns == 16 ? start_narrow<32, 16>(x, w, tiles, to, stream)
                         : start_narrow<32, 32>(x, w, tiles, to, stream);
    }
    return true;
}

template <class T>
bool narrow_takes(Precision precision) {
    return std::is_same_v<T, Bf16> || precision != Precision::strict;
}

int narrow_pixel_count(const Shape& x) { return static_cast<int>(x[0] * x[2] * x[3]); }

}  // namespace

template <class T>
bool narrow_conv2d(const Shape& shape_of_x, const Shape& shape_of_w, const Conv2d& op, Precision precision, const T* x,
                   const float* w, const float* bias, const T* residual, bool relu, T* y, cudaStream_t stream) {
    if (!narrow_takes<T>(precision) || !fits_narrow<T>(shape_of_x, shape_of_w, op)) return false;
    const int filters = static_cast<int>(shape_of_w[0]), channels = static_cast<int>(shape_of_w[1]);
    return narrow_convolve<T>(
        shape_of_x, channels, x, {w, 9 * channels, channels, 1},
        make_epilogue<T>(y, narrow_pixel_count(shape_of_x), filters, bias, residual, nullptr, relu), stream);
}

template <class T>
bool narrow_conv2d_grad_x(const Shape& shape_of_x, const Shape& shape_of_w, const Conv2d& op, Precision precision,
                          const T* grad_y, const float* w, const T* added, const T* mask, T* grad_x,
                          cudaStream_t stream) {
    if (!narrow_takes<T>(precision) || !fits_narrow<T>(shape_of_x, shape_of_w, op)) return false;
    const int filters = static_cast<int>(shape_of_w[0]), channels = static_cast<int>(shape_of_w[1]);
    const NarrowWeights turned{w + 8 * channels, 1, -channels, 9 * channels};  // the last tap first
    return narrow_convolve<T>(
        shape_of_x, filters, grad_y, turned,
        make_epilogue<T>(grad_x, narrow_pixel_count(shape_of_x), channels, nullptr, added, mask, false), stream);
}

#define LETHE_INSTANTIATE(T)                                                                                         \
    template bool narrow_conv2d(const Shape&, const Shape&, const Conv2d&, Precision, const T*, const float*,        \
                                const float*, const T*, bool, T*, cudaStream_t);                                     \
    template bool narrow_conv2d_grad_x(const Shape&, const Shape&, const Conv2d&, Precision, const T*, const float*, \
                                       const T*, const T*, T*, cudaStream_t);
LETHE_INSTANTIATE(float)
LETHE_INSTANTIATE(Bf16)
#undef LETHE_INSTANTIATE

}  // namespace LETHE_CUDA
