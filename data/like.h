// Writing weights the way another file has them, so that whoever reads that file reads these.
#pragma once

#include <string>
#include <vector>

#include "data/weights.h"

namespace lethe {

struct LikeOriginal {
    StoredState entries;
    std::vector<std::string> kept;     // names that only the original has: its entries, as they were
    std::vector<std::string> dropped;  // counters ("num_batches_tracked") that the original lacks
};

// `entries` with the original's names (a prefix that all of them share included), order, dtypes and sizes. An entry
// whose values are the original's, as a model has them, keeps the original's bytes, so that weights which nobody
// changed come out as they came in, float64 too. Throws Error naming the entry: one that the original lacks, other
// sizes, values that its dtype cannot hold; and when no name is common to both.
LikeOriginal like_original(const StoredState& entries, const StoredState& original);

}  // namespace lethe
