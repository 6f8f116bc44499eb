// How much of the forgetting sits in BatchNorm's running statistics, which no gradient and no penalty reaches: a
// forward pass in training mode moves them a tenth of the way to the statistics of its batch, and D_f may be all of it.
#pragma once

#include <cstdint>

#include "nn/model.h"

namespace lethe {

// Whether the model has running statistics at all.
bool has_running_statistics(const Model& model);

// Copies them between two models of one architecture; parameters stay.
void copy_running_statistics(const Model& from, Model& to);

// Replaces them by those of `images` [N,3,H,W] under the present weights: per channel the mean over batches of the
// batch's mean and unbiased variance, each layer's input coming from layers that use their batch's own (as
// torch.optim.swa_utils' update_bn leaves them after one pass). Batches of `batch_size` images in order; what does not
// fill the last is left out, unless it is the only one. Throws Error for fewer than 2 images or a batch_size < 2.
void estimate_running_statistics(Model& model, const Tensor& images, int64_t batch_size = 100);

}  // namespace lethe
