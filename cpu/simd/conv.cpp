#include "cpu/simd/tables.h"

namespace lethe::simd::LETHE_ISA {

void add_convolutions(Kernels& table) { (void)table; }

}  // namespace lethe::simd::LETHE_ISA
