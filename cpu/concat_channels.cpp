#include "cpu/backend.h"

namespace lethe {

void CpuBackend::copy_channels_impl(const Tensor& from, int64_t from_begin, Tensor& to, int64_t to_begin,
                                    int64_t count) {
    const int64_t in = from.dim(1), out = to.dim(1), area = from.dim(2) * from.dim(3);
    const float* source = from.data() + from_begin;
    float* target = to.mutable_data() + to_begin;
    for_chunks(from.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin * area; i < end * area; ++i)
            std::copy(source + i * in, source + i * in + count, target + i * out);
    });
}

}  // namespace lethe
