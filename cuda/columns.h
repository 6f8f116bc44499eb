// How the blocks of a kernel share a matrix [rows, columns]: pixels by channels, as channels-last activations lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "cuda/device.cuh"
#include "tensor/tensor.h"

namespace LETHE_CUDA {

// Block (i, j) takes rows [i * chunk, (i + 1) * chunk) and the j-th group of across * width columns. Its threads form
// a grid of `down` by `across`: neighbours own neighbouring columns, so that a warp reads consecutive addresses, and
// each thread keeps its `width` columns, so that what belongs to a channel is read once. All of it follows from the
// matrix's sizes alone: sums come out the same on every GPU.
struct Columns {
    static constexpr int threads = 256;

    int64_t rows, columns;
    int width;         // adjacent columns of one thread: those of a Pack, or 1
    int across, down;  // across * down <= threads; what is left over idles
    int64_t chunk;

    int64_t chunks() const { return std::max<int64_t>(1, (rows + chunk - 1) / chunk); }
    int64_t groups() const { return (columns + across * width - 1) / (across * width); }
    dim3 grid() const { return dim3(static_cast<unsigned>(chunks()), static_cast<unsigned>(groups())); }
};

namespace detail {

inline Columns columns(int64_t rows, int64_t count, int width, int most_across, int64_t chunk) {
    const auto across = static_cast<int>(std::clamp<int64_t>(count / width, 1, most_across));
    return {rows, count, width, across, Columns::threads / across, std::max<int64_t>(1, chunk)};
}

}  // namespace detail

// For elementwise work: eight packs per thread.
inline Columns columns_for_elements(int64_t rows, int64_t count, int width) {
    Columns columns = detail::columns(rows, count, width, warp_size, 1);
    columns.chunk = 8 * columns.down;
    return columns;
}

// For sums over all rows: as above, but no more blocks than a large GPU runs at a time, since each leaves a partial sum
// per column to be added up.
inline Columns columns_for_sums(int64_t rows, int64_t count, int width) {
    constexpr int64_t most_blocks = 512;
    Columns columns = columns_for_elements(rows, count, width);
    const int64_t most_chunks = std::max<int64_t>(1, most_blocks / columns.groups());
    columns.chunk = std::max(columns.chunk, (rows + most_chunks - 1) / most_chunks);
    return columns;
}

// For sums over each image: a chunk per image.
inline Columns columns_for_images(int64_t images, int64_t pixels, int64_t count, int width) {
    return detail::columns(images * pixels, count, width, warp_size, pixels);
}

// For adding up `chunks` partial sums per column. Few columns per block, for the sake of many blocks: eight are 32
// bytes, the smallest piece of memory worth fetching.
inline Columns columns_for_partials(int64_t chunks, int64_t count) {
    return detail::columns(chunks, count, 1, 8, chunks);
}

// Memory for one partial result per chunk and column, while this object lives. The allocator hands it on in the
// stream's order: whoever gets it next runs after the kernels that were given it.
template <class Part>
class Partials {
public:
    Partials(const Columns& columns, Device device)
        : memory_(Tensor::empty({columns.chunks(), columns.columns, sizeof(Part) / sizeof(float)}, DType::float32,
                                device)) {}
    Part* data() { return static_cast<Part*>(memory_.mutable_device_data()); }

private:
    Tensor memory_;
};

// Calls f.operator()<Width>(): a Pack's size where packs fit the rows and all addresses (which may be null), or 1.
template <class T, class F>
void dispatch_width(int64_t columns, std::initializer_list<const void*> addresses, F&& f) {
    const bool packs = columns % Pack<T>::size == 0 && std::all_of(addresses.begin(), addresses.end(), is_aligned16);
    if (packs) return f.template operator()<Pack<T>::size>();
    f.template operator()<1>();
}

}  // namespace LETHE_CUDA
