// The oracle of the operations of transformers: plain loops in double. Rows are [N,T,F] throughout.
#pragma once

#include "tests/support/reference.h"

namespace lethe::test::reference {

Array token_linear(const Array& x, const Array& w, const Array& b);
Array token_linear_grad_x(const Array& grad_y, const Array& w);
Array token_linear_grad_w(const Array& grad_y, const Array& x);

// patches [N,D,H,W], class_token [1,1,D], position [1,1+H*W,D]
Array tokens(const Array& patches, const Array& class_token, const Array& position);

Array layer_norm(const Array& x, const Array& gamma, const Array& beta, double eps);
struct LayerNormGradients {
    Array x, gamma, beta;
};
LayerNormGradients layer_norm_grad(const Array& grad_y, const Array& x, const Array& gamma, double eps);

// qkv [N,T,3D]; probabilities [N*heads,T,T]
Array attention_probabilities(const Array& qkv, int64_t heads);
Array attention(const Array& qkv, int64_t heads);
Array attention_grad(const Array& grad_y, const Array& qkv, int64_t heads);

}  // namespace lethe::test::reference
