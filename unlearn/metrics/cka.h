// How alike two layers see a set of images, whatever basis they see them in.
#pragma once

#include <optional>

#include "tensor/tensor.h"

namespace lethe {

// Linear centred kernel alignment of features X [n,p] and Y [n,q] of the same n images (Kornblith et al., ICML 2019):
//     |Yc^T Xc|_F^2 / (|Xc^T Xc|_F |Yc^T Yc|_F),   c: each column less its mean
// From 0 to 1; rotating either side or scaling it as a whole changes nothing. With few images and many features it is
// high for unrelated features, too. Nothing where a side is the same for all images, as for a single one. Throws Error
// unless both are float matrices of as many rows.
std::optional<double> linear_cka(const Tensor& x, const Tensor& y);

}  // namespace lethe
