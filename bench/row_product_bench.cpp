// The matrix product inside convolutions of many channels (cpu/simd.h, row_product), where the processor has one.
#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"
#include "cpu/conv2d_pack.h"
#include "cpu/simd.h"

namespace lethe::bench {
namespace {

void row_product(benchmark::State& state) {
    const int64_t rows = state.range(0), inner = state.range(1), columns = state.range(2);
    const auto kernel = simd::kernels().row_product;
    if (kernel == nullptr) return state.SkipWithError("this instruction set has no row_product");
    const Tensor x = random_values({rows, inner}, 1), w = random_values({columns, inner, 1, 1}, 2);
    const Tensor bias = random_values({columns}, 3);
    Tensor packed = Tensor::empty(w.shape()), y = Tensor::empty({rows, columns});
    pack_weights(Packing::rows, w.shape(), w.data(), packed.mutable_data());
    const simd::RowProduct op{rows, inner, columns, inner, columns, bias.data(), nullptr, false};
    float* to = y.mutable_data();
    kernel(x.data(), packed.data(), to, op);
    for (int64_t i = 0; i < 64; ++i) {
        const int64_t at = sample(i, 64, y.numel()), row = at / columns, column = at % columns;
        double sum = static_cast<double>(bias.data()[column]);
        for (int64_t k = 0; k < inner; ++k)
            sum += static_cast<double>(x.data()[row * inner + k]) * static_cast<double>(w.data()[column * inner + k]);
        if (!agrees(state, "row_product", static_cast<double>(to[at]), sum, 1e-7 * static_cast<double>(inner) + 1e-5))
            return;
    }
    for (auto _ : state) {
        kernel(x.data(), packed.data(), to, op);
        benchmark::ClobberMemory();
    }
    report_flops(state, 2.0 * static_cast<double>(rows * inner * columns));
}

// Products of Winograd's transforms (192 tiles), of 1x1 convolutions, of patches; few rows; a last panel of 16 columns.
BENCHMARK(row_product)
    ->ArgNames({"rows", "inner", "columns"})
    ->Args({192, 64, 64})
    ->Args({192, 128, 128})
    ->Args({192, 256, 256})
    ->Args({192, 512, 512})
    ->Args({64, 512, 512})
    ->Args({16, 512, 512})
    ->Args({512, 256, 64})
    ->Args({57, 2304, 512})
    ->Args({192, 64, 80});

}  // namespace
}  // namespace lethe::bench
