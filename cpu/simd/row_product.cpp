// Products of many rows with one matrix, in AVX-512: the work inside convolutions of many channels. A block of up to 12
// rows and 32 columns stays in registers through the whole sum, which always runs over the inner dimension in its
// order: no blocking changes a bit, and a row's result depends on that row alone.
#include "cpu/simd/tables.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace lethe::simd::LETHE_ISA {
namespace {

#define LETHE_INLINE inline __attribute__((always_inline))
#define LETHE_UNROLL _Pragma("GCC unroll 12")

constexpr int vector_width = 16, most_rows = 12, panel_vectors = 2;
static_assert(row_product_panel == vector_width * panel_vectors);

// Addresses are those of the block's first row and column.
using RunBlock = void (*)(const float* x, const float* panel, float* y, const float* bias, const float* residual,
                          const RowProduct& op);

template <int Rows, int Vectors>
void block(const float* x, const float* panel, float* y, const float* bias, const float* residual,
           const RowProduct& op) {
    // One address in three rows: the two others are reached by the processor's scaled index.
    constexpr int groups = (Rows + 2) / 3;
    __m512 acc[Rows][Vectors] = {};
    const float* from[groups];
    LETHE_UNROLL for (int g = 0; g < groups; ++g) from[g] = x + 3 * g * op.x_step;
    for (int64_t k = 0; k < op.inner; ++k) {
        __m512 w[Vectors];
        LETHE_UNROLL for (int v = 0; v < Vectors; ++v) w[v] = _mm512_load_ps(panel + (k * Vectors + v) * vector_width);
        LETHE_UNROLL for (int r = 0; r < Rows; ++r) {
            const __m512 value = _mm512_set1_ps(from[r / 3][r % 3 * op.x_step + k]);
            LETHE_UNROLL for (int v = 0; v < Vectors; ++v) acc[r][v] = _mm512_fmadd_ps(value, w[v], acc[r][v]);
        }
    }
    LETHE_UNROLL for (int v = 0; v < Vectors; ++v) {
        const __m512 shift = bias != nullptr ? _mm512_loadu_ps(bias + v * vector_width) : _mm512_setzero_ps();
        LETHE_UNROLL for (int r = 0; r < Rows; ++r) {
            const int64_t at = r * op.y_step + v * vector_width;
            __m512 sum = acc[r][v] + shift;
            if (residual != nullptr) sum += _mm512_loadu_ps(residual + at);
            if (op.relu) sum = sum < _mm512_setzero_ps() ? _mm512_setzero_ps() : sum;  // keeps NaN
            _mm512_storeu_ps(y + at, sum);
        }
    }
}

template <int Vectors>
RunBlock block_of(int64_t rows) {
    static constexpr RunBlock blocks[most_rows] = {block<1, Vectors>,  block<2, Vectors>,  block<3, Vectors>,
                                                   block<4, Vectors>,  block<5, Vectors>,  block<6, Vectors>,
                                                   block<7, Vectors>,  block<8, Vectors>,  block<9, Vectors>,
                                                   block<10, Vectors>, block<11, Vectors>, block<12, Vectors>};
    return blocks[rows - 1];
}

// A panel of weights meets all rows while it lies in the nearest cache. The rows are cut into blocks of nearly the same
// height: a last block of one row would take almost as long as one of six.
void row_product(const float* x, const float* packed, float* y, const RowProduct& op) {
    const int64_t blocks = (op.rows + most_rows - 1) / most_rows;
    for (int64_t column = 0; column < op.columns; column += row_product_panel) {
        const bool full = column + row_product_panel <= op.columns;
        const float* panel = packed + column * op.inner;
        const float* bias = op.bias == nullptr ? nullptr : op.bias + column;
        for (int64_t i = 0; i < blocks; ++i) {
            const int64_t row = i * op.rows / blocks, rows = (i + 1) * op.rows / blocks - row;
            const int64_t at = row * op.y_step + column;
            const RunBlock run = full ? block_of<panel_vectors>(rows) : block_of<1>(rows);
            run(x + row * op.x_step, panel, y + at, bias, op.residual == nullptr ? nullptr : op.residual + at, op);
        }
    }
}

}  // namespace

void add_row_product(Kernels& table) { table.row_product = row_product; }

}  // namespace lethe::simd::LETHE_ISA

#else

namespace lethe::simd::LETHE_ISA {

void add_row_product(Kernels&) {}

}  // namespace lethe::simd::LETHE_ISA

#endif
