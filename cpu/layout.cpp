#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

// `count` matrices [rows, columns] become [columns, rows].
void transpose(const float* from, float* to, int64_t count, int64_t rows, int64_t columns) {
    for_chunks(count, 1, [&](int64_t i, int64_t) {
        const float* matrix = from + i * rows * columns;
        float* transposed = to + i * rows * columns;
        for (int64_t c = 0; c < columns; ++c)
            for (int64_t r = 0; r < rows; ++r) transposed[c * rows + r] = matrix[r * columns + c];
    });
}

}  // namespace

Tensor CpuBackend::nchw_to_nhwc_impl(const Tensor& matrix, const Shape& shape) {
    Tensor x = Tensor::empty(shape);
    transpose(matrix.data(), x.mutable_data(), shape[0], shape[1], shape[2] * shape[3]);
    return x;
}

Tensor CpuBackend::nhwc_to_nchw_impl(const Tensor& x) {
    const int64_t pixels = x.dim(2) * x.dim(3);
    Tensor matrix = Tensor::empty({x.dim(0) * x.dim(1), pixels});
    transpose(x.data(), matrix.mutable_data(), x.dim(0), pixels, x.dim(1));
    return matrix;
}

}  // namespace lethe
