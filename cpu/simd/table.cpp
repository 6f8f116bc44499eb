#include "cpu/simd/tables.h"

namespace lethe::simd::LETHE_ISA {

#define LETHE_TEXT_OF(word) #word
#define LETHE_TEXT(macro) LETHE_TEXT_OF(macro)

Kernels make_table() {
    Kernels table{};
    table.isa = LETHE_TEXT(LETHE_ISA);
    add_elementwise(table);
    add_reductions(table);
    add_channels(table);
    add_linear(table);
    add_loss(table);
    add_tokens(table);
    add_updates(table);
    add_convolutions(table);
    add_depthwise(table);
    add_row_product(table);
    add_winograd(table);
    return table;
}

}  // namespace lethe::simd::LETHE_ISA
