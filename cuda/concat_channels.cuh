// Channels of one tensor become channels of another: concatenation and its gradient.
#pragma once

#include "cuda/map.cuh"

namespace LETHE_CUDA {

// The first of the copied channels of a tensor, and how many channels it has.
struct ChannelRange {
    int64_t begin, channels;
};

// With `pack` elements at a time, `count` and both ranges must be multiples of it and the addresses aligned.
template <int pack, class T>
__global__ void copy_channels_kernel(const T* from, ChannelRange source, T* to, ChannelRange target, int64_t n,
                                     int64_t count) {
    for (int64_t i = grid_first() * pack; i < n; i += grid_step() * pack) {
        const int64_t pixel = i / count, c = i - pixel * count;
        write(to + pixel * target.channels + target.begin + c,
              read<pack>(from + pixel * source.channels + source.begin + c));
    }
}

}  // namespace LETHE_CUDA
