// The host side of cuda/map.cuh, and the size of a grid whose threads loop.
#pragma once

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/map.cuh"

namespace LETHE_CUDA {

constexpr int block_threads = 256;

// Blocks for `items` pieces of work. The cap is several times what the largest GPUs hold at once: enough to keep them
// busy to the end, few enough that starting blocks costs nothing.
inline dim3 blocks_for(int64_t items) {
    constexpr int64_t most = 4096;
    return dim3(static_cast<unsigned>(std::min(most, (items + block_threads - 1) / block_threads)));
}

// y[i] = f(i, x[i]...) for i in [0, n). Rows of a tensor may start anywhere: those without the alignment of 16-byte
// accesses are read one element at a time.
template <class F, class Y, class... X>
void map(cudaStream_t stream, int64_t n, const F& f, Y* y, const X*... x) {
    constexpr int width = std::max({Pack<Y>::size, Pack<X>::size...});
    if ((is_aligned16(y) && ... && is_aligned16(x)))
        launch<map_kernel<width, F, Y, X...>>(blocks_for((n + width - 1) / width), block_threads, 0, stream, n, f, y,
                                              x...);
    else
        launch<map_kernel<1, F, Y, X...>>(blocks_for(n), block_threads, 0, stream, n, f, y, x...);
}

}  // namespace LETHE_CUDA
