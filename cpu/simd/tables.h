// Each file of simd/ fills in its part of the table.
#pragma once

#include "cpu/simd.h"

namespace lethe::simd::LETHE_ISA {

void add_elementwise(Kernels& table);
void add_reductions(Kernels& table);
void add_channels(Kernels& table);
void add_linear(Kernels& table);
void add_loss(Kernels& table);
void add_tokens(Kernels& table);
void add_updates(Kernels& table);
void add_convolutions(Kernels& table);
void add_depthwise(Kernels& table);
void add_row_product(Kernels& table);
void add_winograd(Kernels& table);

}  // namespace lethe::simd::LETHE_ISA
