#include "tests/support/images.h"

#include <cstdlib>

namespace lethe::test {

std::string picture(const std::string& name) { return std::string(LETHE_SOURCE_DIR) + "/tests/golden/images/" + name; }

const Golden& golden_images() {
    static const Golden golden("images");
    return golden;
}

testing::AssertionResult same_pixels(const ImageBytes& actual, const Tensor& expected) {
    if (expected.shape() != Shape{actual.height, actual.width, 3})
        return testing::AssertionFailure()
               << actual.width << "x" << actual.height << " pixels, not " << expected.shape();
    const auto values = expected.int64_values();
    int64_t different = 0, largest = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const int64_t difference = std::abs(values[i] - actual.pixels[i]);
        different += difference != 0 ? 1 : 0;
        largest = std::max(largest, difference);
    }
    if (different == 0) return testing::AssertionSuccess();
    return testing::AssertionFailure() << different << " of " << values.size() << " bytes differ, by " << largest
                                       << " at most";
}

std::vector<uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

}  // namespace lethe::test
