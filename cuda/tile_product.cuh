// The main loop of every matrix product and convolution here: a block of 256 threads computes one tile of
// C [M, N] = A [M, depth] * B [depth, N], all in float32 sums that are added up in order of depth.
//
// Who uses it says where A and B come from (an operand), what multiplies (a product) and what becomes of the sums (an
// epilogue). Both operands are seen as *lines* over the depth: rows of A, columns of B. An operand has
//     Value                 its storage type
//     along_depth           whether memory runs along the depth of a line, or from line to line
//     Line line(i)          what can be worked out once per line
//     const Value* at(l, d) the address of line l at depth d; null stands for zeros
// A kernel moves runs of `width` words at a time; with width > 1 these must be aligned and either complete or outside.
#pragma once

#include <cmath>
#include <type_traits>

#include "cuda/device.cuh"
#include "cuda/mma.cuh"

namespace LETHE_CUDA {

constexpr int product_threads = 256;
constexpr int tile_depth = 16;  // of one step, in words

template <int M, int N>
struct Tile {
    static constexpr int rows = M, columns = N;
};

// n elements that one access moves, or two where they are 32 bytes.
template <class T, int n>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Run {
    T values[n];

    static __device__ __forceinline__ Run& at(T* address) {
        check(address);
        return *reinterpret_cast<Run*>(address);
    }
    static __device__ __forceinline__ const Run& at(const T* address) {
        check(address);
        return *reinterpret_cast<const Run*>(address);
    }

private:
    static __device__ __forceinline__ void check([[maybe_unused]] const T* address) {
#ifdef LETHE_EMULATED  // a GPU faults by itself
        if constexpr (alignof(Run) == 16) emulation::check_aligned16(address);
#endif
    }
};

// One step's words of the lines of an operand, [depth][line]. Reading wants the lines of 4 depths in different banks
// (so rows are 8 words longer than a multiple of 32), writing wants it of every 4th depth: so their lines are moved.
template <class Word, int lines>
struct SharedTile {
    alignas(16) Word words[tile_depth][(lines < 32 ? 32 : lines) + 8];

    __device__ __forceinline__ Word& at(int depth, int line) { return words[depth][line ^ (depth / 4 * 8)]; }
    __device__ __forceinline__ const Word& at(int depth, int line) const {
        return words[depth][line ^ (depth / 4 * 8)];
    }
    template <int n>
    __device__ __forceinline__ Run<Word, n>& run(int depth, int line) {
        return Run<Word, n>::at(&at(depth, line));
    }
    template <int n>
    __device__ __forceinline__ const Run<Word, n>& run(int depth, int line) const {
        return Run<Word, n>::at(&at(depth, line));
    }
};

// relu?((sum + bias[column] + added) * (mask > 0)), stored as T; what is null is left out.
template <class T>
struct Epilogue {
    T* to;  // [rows, columns], as added and mask
    int rows, columns;
    const float* bias = nullptr;
    const T* added = nullptr;
    const T* mask = nullptr;
    bool relu = false;
    bool wide = false;  // runs of 4 columns are aligned and complete

    template <int n>
    __device__ __forceinline__ void put(int row, int column, const float* sums) const {
        if (row >= rows || column >= columns) return;
        const std::int64_t at = static_cast<std::int64_t>(row) * columns + column;
        if (wide) {
            put_run<n>(at, column, sums);
        } else {
            for (int i = 0; i < n; ++i)
                if (column + i < columns) put_run<1>(at + i, column + i, sums + i);
        }
    }

    // n complete columns of a row from the one at element `at` on, aligned as a Run is.
    template <int n>
    __device__ __forceinline__ void put_run(std::int64_t at, int column, const float* sums) const {
        Run<T, n> result, other;
        float values[n];
        for (int i = 0; i < n; ++i) values[i] = bias == nullptr ? sums[i] : sums[i] + bias[column + i];
        if (added != nullptr) {
            other = Run<T, n>::at(added + at);
            for (int i = 0; i < n; ++i) values[i] += load(other.values + i);
        }
        if (mask != nullptr) {
            other = Run<T, n>::at(mask + at);
            for (int i = 0; i < n; ++i) values[i] = load(other.values + i) > 0.0f ? values[i] : 0.0f;
        }
        for (int i = 0; i < n; ++i) store(result.values + i, relu && values[i] < 0.0f ? 0.0f : values[i]);  // NaN stays
        Run<T, n>::at(to + at) = result;
    }
};

// Strict float32. The threads stand in a square of 16 x 16; each keeps 1/16 of the tile's rows times 1/16 of its
// columns in registers, so that a word read from shared memory is used several times.
template <class TileOf>
struct FmaProduct {
    using Tile = TileOf;
    using Word = float;
    static constexpr int per_word = 1;
    static constexpr int down = Tile::rows / 16, across = Tile::columns / 16;
    static constexpr int count = down * across;

    float sums[count] = {};

    static __device__ __forceinline__ Word word(const float* values) { return *values; }

    __device__ __forceinline__ void add(const SharedTile<Word, Tile::rows>& a,
                                        const SharedTile<Word, Tile::columns>& b) {
        const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 4
        for (int depth = 0; depth < tile_depth; ++depth) {
            float x[down], y[across];
            read(a, depth, thread / 16, x);
            read(b, depth, thread % 16, y);
            for (int i = 0; i < down; ++i)
                for (int j = 0; j < across; ++j) sums[i * across + j] += x[i] * y[j];
        }
    }

    template <class To>
    __device__ __forceinline__ void write(const To& to, int row, int column) const {
        constexpr int n = run_of<across>;
        const int thread = static_cast<int>(threadIdx.x);
#pragma unroll  // sums must not be indexed at run time: it would move from registers to memory
        for (int i = 0; i < down; ++i)
#pragma unroll
            for (int j = 0; j < across; j += n)
                to.template put<n>(row + line<down>(thread / 16, i), column + line<across>(thread % 16, j),
                                   sums + i * across + j);
    }

private:
    template <int count>
    static constexpr int run_of = count < 4 ? count : 4;

    // The i-th of a thread's lines: runs of up to 4, which one access reads; neighbours' runs lie side by side.
    template <int count>
    static __device__ __forceinline__ int line(int thread, int i) {
        constexpr int n = run_of<count>;
        return (i / n * 16 + thread) * n + i % n;
    }

    template <int lines, int count>
    static __device__ __forceinline__ void read(const SharedTile<Word, lines>& from, int depth, int thread,
                                                float (&to)[count]) {
        constexpr int n = run_of<count>;
        for (int i = 0; i < count; i += n) {
            const Run<Word, n> run = from.template run<n>(depth, line<count>(thread, i));
            for (int j = 0; j < n; ++j) to[i + j] = run.values[j];
        }
    }
};

// Tensor cores. Eight warps share the tile, 32 rows each by what columns that leaves; Number is Tf32 or Bf16Pair.
template <class Number, class TileOf>
struct MmaProduct {
    using Tile = TileOf;
    using Word = std::uint32_t;
    static constexpr int per_word = Number::per_word;
    static constexpr int warps_across = product_threads / warp_size / (Tile::rows / 32);
    static constexpr int down = 2, across = Tile::columns / warps_across / 8;
    static constexpr int count = down * across * 4;

    float sums[count] = {};

    static __device__ __forceinline__ Word word(const float* values) { return Number::word(values); }

    __device__ __forceinline__ void add(const SharedTile<Word, Tile::rows>& a,
                                        const SharedTile<Word, Tile::columns>& b) {
        const int g = lane() / 4, t = lane() % 4;
#pragma unroll 1
        for (int half = 0; half < tile_depth; half += 8) {
            const int depth = half + t;
            std::uint32_t x[down][4], y[across][2];
            for (int i = 0; i < down; ++i)
                for (int e = 0; e < 4; ++e)
                    x[i][e] = a.at(depth + 4 * (e / 2), row_of_warp() + 16 * i + g + 8 * (e % 2));
            for (int j = 0; j < across; ++j)
                for (int e = 0; e < 2; ++e) y[j][e] = b.at(depth + 4 * e, column_of_warp() + 8 * j + g);
            warp_mma<Number, down, across>(x, y, sums);
        }
    }

    template <class To>
    __device__ __forceinline__ void write(const To& to, int row, int column) const {
        const int g = lane() / 4, t = lane() % 4;
#pragma unroll
        for (int i = 0; i < down; ++i)
#pragma unroll
            for (int j = 0; j < across; ++j)
#pragma unroll
                for (int e = 0; e < 4; e += 2)
                    to.template put<2>(row + row_of_warp() + 16 * i + g + 4 * e,
                                       column + column_of_warp() + 8 * j + 2 * t, sums + (i * across + j) * 4 + e);
    }

private:
    static __device__ __forceinline__ int row_of_warp() { return warp() / warps_across * 32; }
    static __device__ __forceinline__ int column_of_warp() { return warp() % warps_across * (across * 8); }
};

// Brings an operand's steps from memory to shared memory by way of registers, so that the next step can be on its way
// while this one is multiplied. Every thread moves a few runs of `width` words, always of the same lines.
template <class Product, class Operand, int lines, int width>
class Loader {
    using Word = typename Product::Word;

public:
    __device__ __forceinline__ Loader(const Operand& operand, int first_line) : operand_(operand) {
        for (int i = 0; i < runs_each; ++i) lines_[i] = operand.line(first_line + line(i));
    }

    // Depths [from, end) of this step; zeros from `end` on.
    __device__ __forceinline__ void fetch(int from, int end) {
        for (int i = 0; i < runs_each; ++i)
            if (exists(i)) fetch_run(lines_[i], from + depth(i) * Product::per_word, end, words_[i]);
    }

    __device__ __forceinline__ void put(SharedTile<Word, lines>& to) const {
        for (int i = 0; i < runs_each; ++i) {
            if (!exists(i)) continue;
            if constexpr (Operand::along_depth) {
                for (int j = 0; j < width; ++j) to.at(depth(i) + j, line(i)) = words_[i].values[j];
            } else {
                to.template run<width>(depth(i), line(i)) = words_[i];
            }
        }
    }

private:
    static constexpr int runs = lines * tile_depth / width;
    static constexpr int runs_each = (runs + product_threads - 1) / product_threads;

    static __device__ __forceinline__ int run(int i) { return static_cast<int>(threadIdx.x) + i * product_threads; }
    static __device__ __forceinline__ bool exists(int i) { return runs % product_threads == 0 || run(i) < runs; }
    // Neighbouring threads move what lies side by side in memory.
    static __device__ __forceinline__ int line(int i) {
        return Operand::along_depth ? run(i) / (tile_depth / width) : run(i) % (lines / width) * width;
    }
    static __device__ __forceinline__ int depth(int i) {
        return Operand::along_depth ? run(i) % (tile_depth / width) * width : run(i) / (lines / width);
    }

    __device__ __forceinline__ void fetch_run(const typename Operand::Line& from, int depth, int end,
                                              Run<Word, width>& to) const {
        constexpr int words_deep = Operand::along_depth ? width : 1, deep = words_deep * Product::per_word;
        constexpr int lines_wide = width / words_deep, step = Operand::along_depth && width > 1 ? deep : 1;
        float values[lines_wide][deep];
        for (int d = 0; d < deep; d += step) {
            float read[step * lines_wide] = {};
            const typename Operand::Value* at = depth + d < end ? operand_.at(from, depth + d) : nullptr;
            if (at != nullptr) read_run(at, read);
            for (int i = 0; i < step * lines_wide; ++i) values[i / step][d + i % step] = read[i];
        }
        for (int i = 0; i < width; ++i)
            to.values[i] = Product::word(values[i / words_deep] + i % words_deep * Product::per_word);
    }

    template <class T, int n>
    static __device__ __forceinline__ void read_run(const T* from, float (&to)[n]) {
        const Run<T, n> run = Run<T, n>::at(from);
        for (int i = 0; i < n; ++i) to[i] = load(run.values + i);
    }

    Operand operand_;
    typename Operand::Line lines_[runs_each];
    Run<Word, width> words_[runs_each];
};

// product += the tile at (row, column) of A * B over depths [begin, end). All threads of the block call it; between two
// calls the caller puts a barrier. Two buffers make one barrier per step enough: what a step writes was last read
// before the previous step's barrier.
template <int width, class Product, class A, class B>
__device__ __forceinline__ void add_product(Product& product, const A& a, const B& b, int row, int column, int begin,
                                            int end) {
    using Word = typename Product::Word;
    using Tile = typename Product::Tile;
    constexpr int step = tile_depth * Product::per_word;
    __shared__ SharedTile<Word, Tile::rows> a_tiles[2];
    __shared__ SharedTile<Word, Tile::columns> b_tiles[2];
    Loader<Product, A, Tile::rows, width> from_a(a, row);
    Loader<Product, B, Tile::columns, width> from_b(b, column);
    from_a.fetch(begin, end);
    from_b.fetch(begin, end);
    int buffer = 0;
    for (int depth = begin; depth < end; depth += step) {
        from_a.put(a_tiles[buffer]);
        from_b.put(b_tiles[buffer]);
        __syncthreads();
        if (end - depth > step) {
            from_a.fetch(depth + step, end);
            from_b.fetch(depth + step, end);
        }
        product.add(a_tiles[buffer], b_tiles[buffer]);
        buffer ^= 1;
    }
}

// One block per tile of C, tiles of a row of tiles one after the other: they share A's lines in the cache.
template <class Product, int width, class A, class B, class T>
__global__ __launch_bounds__(product_threads, 2) void product_kernel(A a, B b, int depth, int tiles_across,
                                                                     Epilogue<T> to) {
    using Tile = typename Product::Tile;
    const int tile = static_cast<int>(blockIdx.x);
    const int row = tile / tiles_across * Tile::rows, column = tile % tiles_across * Tile::columns;
    Product product;
    add_product<width>(product, a, b, row, column, 0, depth);
    product.write(to, row, column);
}

}  // namespace LETHE_CUDA
