// 3x3 convolutions of many channels by Winograd's F(2x2,3x3): 16 products of matrices in place of 36
// (docs/decisions/008).
#include "cpu/backend.h"

namespace lethe {
namespace {

constexpr int64_t matrices = 16, tile = 2;

// Tiles that are transformed together: the rows of each product. Enough of them make up for reading the weights from
// memory; with 64 channels their transforms fill the L2 cache.
constexpr int64_t tiles_together = 192;

}  // namespace

void CpuBackend::winograd(const float* x, const float* packed, float* y, int64_t images, const simd::ConvImage& first) {
    const int64_t channels = first.in_channels, filters = first.out_channels, area = first.height * first.width;
    const int64_t tiles_in_row = (first.width + tile - 1) / tile, tile_rows = (first.height + tile - 1) / tile;
    for_chunks(images, images_per_chunk, [&](int64_t begin, int64_t end) {
        const int64_t together =
            std::min(std::max<int64_t>(1, tiles_together / tiles_in_row), (end - begin) * tile_rows);
        constexpr int64_t line = 16;  // a power of two between the matrices would put all of them in one cache set
        const int64_t v_step = together * tiles_in_row * channels + line;
        const int64_t m_step = together * tiles_in_row * filters + line;
        const Scratch<float> v(matrices * v_step), m(matrices * m_step);
        for (int64_t row = begin * tile_rows; row < end * tile_rows; row += together) {
            const int64_t count = std::min(together, end * tile_rows - row);
            for (int64_t i = 0; i < count; ++i)
                kernels_.winograd_input(x + (row + i) / tile_rows * area * channels, (row + i) % tile_rows,
                                        v.data() + i * tiles_in_row * channels, v_step, first);
            const simd::RowProduct product{
                count * tiles_in_row, channels, filters, channels, filters, nullptr, nullptr, false};
            for (int64_t i = 0; i < matrices; ++i)
                kernels_.row_product(v.data() + i * v_step, packed + i * channels * filters, m.data() + i * m_step,
                                     product);
            for (int64_t i = 0; i < count; ++i) {
                const int64_t image = (row + i) / tile_rows, at = image * area * filters;
                simd::ConvImage op = first;
                if (first.residual != nullptr) op.residual = first.residual + at;
                kernels_.winograd_output(m.data() + i * tiles_in_row * filters, m_step, (row + i) % tile_rows, y + at,
                                         op);
            }
        }
    });
}

}  // namespace lethe
