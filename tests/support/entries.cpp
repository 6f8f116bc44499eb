#include "tests/support/entries.h"

#include <gtest/gtest.h>

namespace lethe::test {

void expect_same_entries(const StoredState& actual, const StoredState& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const auto& [name, tensor] = expected[i];
        EXPECT_EQ(actual[i].first, name);
        EXPECT_EQ(actual[i].second.element, tensor.element) << name;
        EXPECT_EQ(actual[i].second.sizes, tensor.sizes) << name;
        EXPECT_EQ(actual[i].second.bytes, tensor.bytes) << name;
    }
}

}  // namespace lethe::test
