// Which images are to be forgotten.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace lethe {

// "torch-randperm:SEED:K"  the first K of torch.randperm(N) after torch.manual_seed(SEED), as PyTorch scripts select
// "random:SEED:K"          K of N from our own stream
// "class:NAME[:K]"         all images of a class, or its first K
// "images:I,J,..."         these indices
// "indices:FILE"           one index per line, '#' starts a comment
// "misclassified[:K]"      images the model gets wrong, or the first K of them
// "misclassified:SEED:K"   K of these from our own stream
// "test:FORM"              any of these forms, of the test set; without it they are of the training set
// The split that `text` selects from.
Split forget_split(const std::string& text);
// `data` is that split; forms without "test:" select from any. `is_misclassified` is called only where the model is
// asked; may be empty otherwise. Returns indices into `data` in selection order. Throws Error: unknown form, K < 1 or
// larger than what there is, unknown class (naming the known ones), index out of range or twice, data of another split.
std::vector<int64_t> select_forget_set(const std::string& text, const Dataset& data,
                                       const std::function<std::vector<int64_t>()>& misclassified = {});

// The expression "images:I,J,..." that selects these.
std::string images_expression(const std::vector<int64_t>& indices);

// At most `limit` of them, evenly spread, so that few still cover all; 0: all.
std::vector<int64_t> evenly_spread(const std::vector<int64_t>& indices, int64_t limit);

// All of 0..size-1 that are not in `forget`, ascending.
std::vector<int64_t> complement(const std::vector<int64_t>& forget, int64_t size);

}  // namespace lethe
