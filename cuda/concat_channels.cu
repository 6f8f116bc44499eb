#include "cuda/backend.h"
#include "cuda/concat_channels.cuh"
#include "cuda/map.h"

namespace LETHE_CUDA {

void CudaBackend::copy_channels_impl(const Tensor& from, int64_t from_begin, Tensor& to, int64_t to_begin,
                                     int64_t count) {
    const ChannelRange source{from_begin, from.dim(1)}, target{to_begin, to.dim(1)};
    const int64_t n = from.dim(0) * from.dim(2) * from.dim(3) * count;
    dispatch(from.dtype(), [&]<class T>() {
        const T* read = in<T>(from);
        T* written = out<T>(to);
        constexpr int size = Pack<T>::size;
        const bool packs = (count | source.begin | source.channels | target.begin | target.channels) % size == 0;
        if (packs && is_aligned16(read) && is_aligned16(written))
            launch<copy_channels_kernel<size, T>>(blocks_for(n / size), block_threads, 0, stream_.get(), read, source,
                                                  written, target, n, count);
        else
            launch<copy_channels_kernel<1, T>>(blocks_for(n), block_threads, 0, stream_.get(), read, source, written,
                                               target, n, count);
    });
}

}  // namespace LETHE_CUDA
