#include "tests/support/compare.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>
#include <vector>

#include "tensor/random.h"

namespace lethe::test {
namespace {

// float has a 24-bit significand: its rounding unit in this policy is the gap above 1.
constexpr double epsilon = std::numeric_limits<float>::epsilon();

struct Worst {
    std::size_t index = 0;
    double share = 0;  // of the tolerance; 1 is the limit
};

// The share of its tolerance that an element uses. A tolerance of zero is met only by equality.
double share_used(double actual, double expected, Tolerance tolerance, double relative) {
    const double difference = std::abs(actual - expected);
    if (difference == 0) return 0;
    const double allowed = tolerance.atol + relative * std::abs(expected);
    return allowed > 0 ? difference / allowed : std::numeric_limits<double>::infinity();
}

template <class Expected>
testing::AssertionResult compare(std::span<const float> actual, std::span<const Expected> expected, Tolerance tolerance,
                                 double k) {
    if (actual.size() != expected.size())
        return testing::AssertionFailure() << actual.size() << " values, expected " << expected.size();
    for (std::size_t i = 0; i < actual.size(); ++i) {
        if (!std::isfinite(actual[i]))
            return testing::AssertionFailure() << "value " << i << " is " << actual[i] << ", expected " << expected[i];
        if (!std::isfinite(expected[i]))
            return testing::AssertionFailure() << "expected value " << i << " is itself " << expected[i];
    }
    const double relative = tolerance.c * epsilon * std::sqrt(k);
    Worst worst;
    std::size_t outside = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double share =
            share_used(static_cast<double>(actual[i]), static_cast<double>(expected[i]), tolerance, relative);
        if (!(share <= 1)) ++outside;
        if (!(share <= worst.share)) worst = {i, share};
    }
    if (outside == 0) return testing::AssertionSuccess() << "worst value uses " << worst.share << " of its tolerance";
    std::ostringstream text;
    text.precision(9);
    text << outside << " of " << actual.size() << " values outside tolerance (c " << tolerance.c << ", atol "
         << tolerance.atol << ", K " << k << "); worst at " << worst.index << ": " << actual[worst.index]
         << ", expected " << expected[worst.index] << ", uses " << worst.share << " of its tolerance";
    return testing::AssertionFailure() << text.str();
}

}  // namespace

testing::AssertionResult close(std::span<const float> actual, std::span<const float> expected, Tolerance tolerance,
                               double k) {
    return compare(actual, expected, tolerance, k);
}

testing::AssertionResult close(std::span<const float> actual, std::span<const double> expected, Tolerance tolerance,
                               double k) {
    return compare(actual, expected, tolerance, k);
}

testing::AssertionResult close(const Tensor& actual, const Tensor& expected, Tolerance tolerance, double k) {
    if (!(actual.shape() == expected.shape()))
        return testing::AssertionFailure() << "shape " << actual.shape() << ", expected " << expected.shape();
    const std::vector<float> actual_values = actual.to_nchw(), expected_values = expected.to_nchw();
    return compare<float>(actual_values, expected_values, tolerance, k) << " (shape " << actual.shape() << ")";
}

testing::AssertionResult identical(const Tensor& actual, const Tensor& expected) {
    if (actual.dtype() != expected.dtype())
        return testing::AssertionFailure() << name(actual.dtype()) << ", expected " << name(expected.dtype());
    if (!(actual.shape() == expected.shape()))
        return testing::AssertionFailure() << "shape " << actual.shape() << ", expected " << expected.shape();
    const bool integers = actual.dtype() == DType::int64;
    const std::size_t width = integers ? sizeof(int64_t) : sizeof(float);
    const char* a = static_cast<const char*>(integers ? static_cast<const void*>(actual.int64_data()) : actual.data());
    const char* b =
        static_cast<const char*>(integers ? static_cast<const void*>(expected.int64_data()) : expected.data());
    for (int64_t i = 0; i < actual.numel(); ++i) {
        const std::size_t at = static_cast<std::size_t>(i) * width;
        if (std::memcmp(a + at, b + at, width) == 0) continue;
        testing::AssertionResult failure = testing::AssertionFailure() << "differs first at " << i << " in memory: ";
        if (integers) return failure << actual.int64_data()[i] << ", expected " << expected.int64_data()[i];
        return failure << std::hexfloat << actual.data()[i] << ", expected " << expected.data()[i];
    }
    return testing::AssertionSuccess();
}

std::string shared_path(const std::string& relative) {
    const char* variable = std::getenv("LETHE_SHARED");
    const std::filesystem::path root = variable != nullptr ? std::filesystem::path(variable)
                                                           : std::filesystem::path(LETHE_SOURCE_DIR) / ".." / "shared";
    const std::filesystem::path path = (root / relative).lexically_normal();
    std::error_code ignored;
    return std::filesystem::exists(path, ignored) ? path.string() : "";
}

Tensor random_tensor(const Shape& shape, uint64_t seed, float scale) {
    const Random random(seed, Purpose::init);
    std::vector<float> values(static_cast<std::size_t>(shape.numel()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale * random.normal(0, static_cast<uint32_t>(i));
    return Tensor::from_nchw(shape, values);
}

std::string TemporaryFolder::path(const std::string& name) const {
    return name.empty() ? folder_.path().string() : (folder_.path() / name).string();
}

}  // namespace lethe::test
