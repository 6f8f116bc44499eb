// Entries of weight files, compared as they are stored.
#pragma once

#include "data/weights.h"

namespace lethe::test {

// Expects equal names, order, types, sizes and bytes.
void expect_same_entries(const StoredState& actual, const StoredState& expected);

}  // namespace lethe::test
