#include "cuda/gemm.cuh"
#include "cuda/gemm.h"
#include "cuda/launch_product.h"

namespace LETHE_CUDA {
namespace {

// Large tiles read each element less often; small ones keep more of the GPU busy. The sums are the same.
template <class A, class B>
void multiply(const A& a, const B& b, int depth, bool wide, const Epilogue<float>& to, cudaStream_t stream) {
    using Large = FmaProduct<Tile<128, 64>>;
    using Small = FmaProduct<Tile<64, 64>>;
    constexpr std::int64_t enough_blocks = 128;
    if (!wide) {
        launch_product<Small, 1>(a, b, depth, to, stream);
    } else if (tiles<Large>(to.rows, to.columns) < enough_blocks) {
        launch_product<Small, wide_run>(a, b, depth, to, stream);
    } else {
        launch_product<Large, wide_run>(a, b, depth, to, stream);
    }
}

}  // namespace

void sgemm(Factors factors, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
           const float* bias, float* c, cudaStream_t stream) {
    const int rows = product_size(m, "sgemm"), columns = product_size(n, "sgemm"), depth = product_size(k, "sgemm");
    product_size(tiles<FmaProduct<Tile<64, 64>>>(m, n), "sgemm");
    const Epilogue<float> to = make_epilogue<float>(c, rows, columns, bias, nullptr, nullptr, false);
    const bool m_fits = rows % wide_run == 0, n_fits = columns % wide_run == 0, k_fits = depth % wide_run == 0;
    const bool starts_fit = aligned(a, b);
    switch (factors) {
        case Factors::nn:
            multiply(LinesAlongMemory<float>{a, rows, k}, LinesSideBySide<float>{b, columns, n}, depth,
                     starts_fit && k_fits && n_fits, to, stream);
            break;
        case Factors::nt:
            multiply(LinesAlongMemory<float>{a, rows, k}, LinesAlongMemory<float>{b, columns, k}, depth,
                     starts_fit && k_fits, to, stream);
            break;
        case Factors::tn:
            multiply(LinesSideBySide<float>{a, rows, m}, LinesSideBySide<float>{b, columns, n}, depth,
                     starts_fit && m_fits && n_fits, to, stream);
            break;
    }
}

}  // namespace LETHE_CUDA
