// The 3x3 convolution between few channels, straight from the images. A 3x3 layer does 9 C K products per pixel, and
// moves C + K numbers of x and y: with 16 channels 72 products per number, which tensor cores do faster than memory can
// bring them. Such a layer should take as long as its bytes. General kernels take several times as long: their tiles
// are made for 64 filters and more, and by gathering patches they read each pixel 9 times, with its address worked out
// anew.
//
// Here a block takes a tile of 256 output pixels. It brings the tile's pixels of x and the border around them to shared
// memory, each once, and the weights of all taps, once for all of its tiles. From there every tap is the same product
// [256 pixels, C] * [C, filters] with the pixels moved by a row or a column: an addition to an address.
//
// What shared memory holds is arranged for the fragments of cuda/mma.cuh. Which word of a pixel is which depth of the
// product is ours to choose, as long as pixels and weights agree:
// - Lane (g, t) takes the words 2t and 2t + 1 of each 8 for depths t and t + 4, in one access of 8 bytes. Pixels lie 8
//   or 24 words apart, so that the 4 pixels and 4 pairs of words of half a warp are in 32 different banks.
// - Weights lie as the lanes ask for them, one after the other.
// - Filters are dealt out so that a lane ends up with neighbouring ones: it writes whole runs of y.
//
// A layer from 16 to 16 channels of 512 images of 32x32 moves 67 MB in float32: 16 us at the 4.2 TB/s that an H200
// copies with. Measured: 42 us, cuDNN's TF32 97 us. Beyond the shapes that narrow_conv2d takes cuDNN is as fast, or
// faster (bench/results/2026-11-26-gpu-h200/narrow.md).
#pragma once

#include "cuda/divisor.cuh"
#include "cuda/tile_product.cuh"

namespace LETHE_CUDA {

constexpr int narrow_threads = 256, narrow_pixels = 256;  // of a block, and of its tile: as many
__device__ __forceinline__ int narrow_thread() { return static_cast<int>(threadIdx.x); }

// Blocks of a multiprocessor for which registers must be enough.
template <int filters>
constexpr int narrow_blocks = filters == 16 ? 5 : 3;

// Weights [filter][tap][channel] as the product wants them, wherever they lie: the gradient for x is the convolution of
// grad_y with the filters turned by 180 degrees, channels and filters exchanged.
struct NarrowWeights {
    const float* first;
    int filter_step, tap_step, channel_step;

    __device__ __forceinline__ float at(int filter, int tap, int channel) const {
        return first[filter * filter_step + tap * tap_step + channel * channel_step];
    }
};

// Images of height x width pixels, cut into tiles of tile_height x tile_width pixels. Where that is less than
// narrow_pixels, a tile has the same place of several images. Sizes of tiles are powers of two, tile_width at least 8.
struct NarrowTiles {
    NarrowTiles(int n, int h, int w, int tile_h, int tile_w)
        : images(n),
          height(h),
          width(w),
          tile_height(tile_h),
          tile_width(tile_w),
          tile_images(narrow_pixels / (tile_h * tile_w)),
          down((h + tile_h - 1) / tile_h),
          across((w + tile_w - 1) / tile_w),
          count((n + tile_images - 1) / tile_images * down * across),
          by_place(down * across),
          by_across(across),
          by_halo(halo_height() * halo_width()),
          by_halo_width(halo_width()),
          by_tile(tile_h * tile_w),
          by_tile_width(tile_w) {}

    int images, height, width;
    int tile_height, tile_width, tile_images;
    int down, across;  // tiles of an image
    int count;         // of all images
    Divisor by_place, by_across, by_halo, by_halo_width, by_tile, by_tile_width;

    __host__ __device__ __forceinline__ int halo_height() const { return tile_height + 2; }
    __host__ __device__ __forceinline__ int halo_width() const { return tile_width + 2; }
    __host__ __device__ __forceinline__ int halo_pixels() const { return tile_images * halo_height() * halo_width(); }

    // The first pixel of a tile.
    struct Corner {
        int image, row, column;
    };
    __device__ __forceinline__ Corner corner(int tile) const {
        int place, column;
        const int group = by_place.split(tile, place), row = by_across.split(place, column);
        return {group * tile_images, row * tile_height, column * tile_width};
    }

    // The number of a pixel among those of all images, or -1 outside of them.
    __device__ __forceinline__ int pixel(int image, int row, int column) const {
        if (image >= images || row < 0 || row >= height || column < 0 || column >= width) return -1;
        return (image * height + row) * width + column;
    }
    // That of pixel i of a tile's halo, and of its own.
    __device__ __forceinline__ int halo_pixel(const Corner& corner, int i) const {
        int in_image, column;
        const int image = by_halo.split(i, in_image), row = by_halo_width.split(in_image, column);
        return pixel(corner.image + image, corner.row + row - 1, corner.column + column - 1);
    }
    __device__ __forceinline__ int own_pixel(const Corner& corner, int i) const {
        int in_image, column;
        const int image = by_tile.split(i, in_image), row = by_tile_width.split(in_image, column);
        return pixel(corner.image + image, corner.row + row, corner.column + column);
    }
    // Where tap (0, 0) of the tile's own pixel i lies in the halo.
    __device__ __forceinline__ int first_tap(int i) const {
        int in_image, column;
        const int image = by_tile.split(i, in_image), row = by_tile_width.split(in_image, column);
        return (image * halo_height() + row) * halo_width() + column;
    }
};

// A block's share of the product, and what it keeps in shared memory.
template <class Number, int channels, int filters>
struct NarrowProduct {
    static constexpr int words = channels / Number::per_word;          // of a pixel
    static constexpr int pixel_step = words == 8 ? 8 : words + 8;      // from pixel to pixel
    static constexpr int depths = words / 8;                           // products of 8 words for each tap
    static constexpr int down = 2, across = filters / 8;               // 16 x 8 products of a warp at once
    static constexpr int run = 2 * across;                             // neighbouring filters of a lane
    static constexpr int fragments = 9 * depths * across * warp_size;  // of weights, two words each

    static std::size_t shared_bytes(const NarrowTiles& tiles) {
        return sizeof(std::uint32_t) * static_cast<std::size_t>(2 * fragments + tiles.halo_pixels() * pixel_step);
    }

    using Fragment = Run<std::uint32_t, 2>;
    using Sums = float[down * across * 4];
    Fragment* weights;
    std::uint32_t* halo;

    __device__ __forceinline__ explicit NarrowProduct(std::uint32_t* shared)
        : weights(reinterpret_cast<Fragment*>(shared)), halo(shared + 2 * fragments) {}

    // Fragments lie in the order [tap][depth][j][lane].
    __device__ __forceinline__ void load_weights(const NarrowWeights& w) const {
#pragma unroll 4  // several reads on their way at once
        for (int i = narrow_thread(); i < fragments; i += narrow_threads) {
            const int g = i % warp_size / 4, t = i % 4, j = i / warp_size % across;
            const int depth = i / warp_size / across % depths, tap = i / warp_size / across / depths;
            const int filter = g / 2 * run + 2 * j + g % 2;
            float values[2 * Number::per_word];
            for (int e = 0; e < 2 * Number::per_word; ++e)
                values[e] = w.at(filter, tap, (8 * depth + 2 * t) * Number::per_word + e);
            weights[i] = {{Number::word(values), Number::word(values + Number::per_word)}};
        }
    }

    // The tile's pixels of x and their neighbours, zeros outside of the images.
    template <class T>
    __device__ __forceinline__ void load_halo(const NarrowTiles& tiles, const NarrowTiles::Corner& corner,
                                              const T* x) const {
        constexpr int packs = channels / Pack<T>::size;  // of a pixel
        constexpr int at_once = 2;                       // reads on their way
        const int count = tiles.halo_pixels() * packs;
        for (int first = narrow_thread(); first < count; first += at_once * narrow_threads) {
            uint4 bits[at_once];
#pragma unroll
            for (int k = 0; k < at_once; ++k) {
                const int i = first + k * narrow_threads;
                const int pixel = i < count ? tiles.halo_pixel(corner, i / packs) : -1;
                bits[k] = pixel < 0
                              ? uint4{0, 0, 0, 0}
                              : load16(x + (static_cast<std::int64_t>(pixel) * packs + i % packs) * Pack<T>::size);
            }
#pragma unroll
            for (int k = 0; k < at_once; ++k) {
                const int i = first + k * narrow_threads;
                if (i < count) store16(halo + i / packs * pixel_step + i % packs * 4, words_of<T>(bits[k]));
            }
        }
    }

    // sums += the 32 pixels from `pixel` on * weights, over all taps and channels. The whole warp calls.
    __device__ __forceinline__ void multiply(const NarrowTiles& tiles, int pixel, Sums& sums) const {
        const int t = narrow_thread() % 4;
        const std::uint32_t* from[2 * down];
#pragma unroll
        for (int i = 0; i < 2 * down; ++i)
            from[i] = halo + tiles.first_tap(pixel + 8 * i + narrow_thread() % warp_size / 4) * pixel_step + 2 * t;
        const Fragment* fragment = weights + narrow_thread() % warp_size;
#pragma unroll 1
        for (int row = 0; row < 3; ++row) {
#pragma unroll
            for (int step = 0; step < 3 * depths; ++step) {
                std::uint32_t a[down][4], b[across][2];
                const int at = step / depths * pixel_step + step % depths * 8;
#pragma unroll
                for (int i = 0; i < 2 * down; ++i) {
                    const Fragment pair = Fragment::at(from[i] + at);
                    a[i / 2][i % 2] = pair.values[0];
                    a[i / 2][i % 2 + 2] = pair.values[1];
                }
#pragma unroll
                for (int j = 0; j < across; ++j) {
                    const Fragment pair = fragment[(step * across + j) * warp_size];
                    b[j][0] = pair.values[0];
                    b[j][1] = pair.values[1];
                }
                warp_mma<Number, down, across>(a, b, sums);
            }
            for (int i = 0; i < 2 * down; ++i) from[i] += tiles.halo_width() * pixel_step;
            fragment += 3 * depths * across * warp_size;
        }
    }

    // Puts the sums of those 32 pixels that are inside; `pixels` are their numbers, -1 outside.
    template <class T>
    __device__ __forceinline__ void write(const int* pixels, const Sums& sums, const Epilogue<T>& to) const {
        const int column = narrow_thread() % 4 * run;
#pragma unroll
        for (int i = 0; i < 2 * down; ++i) {
            const int pixel = pixels[8 * i + narrow_thread() % warp_size / 4];
            if (pixel < 0) continue;
            float values[run];
#pragma unroll
            for (int k = 0; k < run; ++k) values[k] = sums[(i / 2 * across + k / 2) * 4 + 2 * (i % 2) + k % 2];
            to.template put_run<run>(std::int64_t{pixel} * to.columns + column, column, values);
        }
    }

private:
    // 16 bytes of a pixel as words: bfloat16 pairs they are, TF32 has fewer bits than float.
    template <class T>
    static __device__ __forceinline__ uint4 words_of(const uint4& bits) {
        if constexpr (Number::per_word == 2) {
            return bits;
        } else {
            float values[4];
            memcpy(values, &bits, sizeof(bits));
            return {Number::word(values), Number::word(values + 1), Number::word(values + 2), Number::word(values + 3)};
        }
    }
};

// Each block takes every tile that the grid leaves to it; `to` has a row per pixel, and is wide.
template <class Number, int channels, int filters, class T>
__global__ __launch_bounds__(narrow_threads,
                             narrow_blocks<filters>) void narrow_conv2d_kernel(const T* x, NarrowWeights w,
                                                                               NarrowTiles tiles, Epilogue<T> to) {
    using Product = NarrowProduct<Number, channels, filters>;
    __shared__ int pixels[narrow_pixels];  // the tile's, by number
    const Product product(dyn_shared<std::uint32_t>());
    const int own = narrow_thread() / warp_size * warp_size;  // the first pixel of this warp's in the tile
    product.load_weights(w);
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles.count; tile += static_cast<int>(gridDim.x)) {
        const NarrowTiles::Corner corner = tiles.corner(tile);
        product.load_halo(tiles, corner, x);
        pixels[threadIdx.x] = tiles.own_pixel(corner, narrow_thread());
        __syncthreads();
        if (pixels[own] >= 0) {  // else the warp's other pixels are outside as well
            typename Product::Sums sums{};
            product.multiply(tiles, own, sums);
            product.write(pixels + own, sums, to);
        }
        __syncthreads();  // before the next tile's pixels replace these
    }
}

}  // namespace LETHE_CUDA
