#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>

#include "data/weights.h"
#include "tensor/error.h"

namespace lethe::test {

Golden::Golden(const std::string& name)
    : name_(name),
      state_(read_weights(std::string(LETHE_SOURCE_DIR) + "/tests/golden/" + name + ".safetensors").state()) {}

const Tensor& Golden::operator[](const std::string& name) const { return entry(state_, name); }

StateDict Golden::below(const std::string& prefix) const {
    StateDict found;
    for (const auto& [name, tensor] : state_) {
        if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), tensor);
    }
    check(!found.empty(), "golden file ", name_, " has no tensor below '", prefix, "'");
    return found;
}

std::unique_ptr<Model> golden_resnet20() {
    ModelSpec spec;
    spec.arch = "resnet20";
    spec.mean = {0.485f, 0.456f, 0.406f};
    spec.std = {0.229f, 0.224f, 0.225f};
    auto model = std::make_unique<Model>(spec);
    model->load_state(Golden("resnet20_state").below(""));
    return model;
}

const Tensor& entry(const StateDict& state, const std::string& name) {
    const auto found = std::find_if(state.begin(), state.end(), [&](const auto& item) { return item.first == name; });
    check(found != state.end(), "no tensor is called '", name, "'");
    return found->second;
}

StateDict copy_of(const StateDict& state) {
    StateDict copy;
    for (const auto& [name, tensor] : state) copy.emplace_back(name, tensor.clone());
    return copy;
}

std::vector<int64_t> labels_of(const Tensor& labels) {
    const auto values = labels.int64_values();
    return {values.begin(), values.end()};
}

testing::AssertionResult close_to_scale(const Tensor& actual, const Tensor& expected, Tolerance tolerance, double k) {
    if (actual.shape() != expected.shape()) return close(actual, expected, tolerance, k);  // says what differs
    float largest = 0;
    for (const float value : expected.values()) largest = std::max(largest, std::fabs(value));
    if (largest == 0) return close(actual, expected, tolerance, k);
    const auto scaled = [largest](const Tensor& tensor) {
        std::vector<float> values = tensor.to_nchw();
        for (float& value : values) value /= largest;
        return values;
    };
    return close(scaled(actual), scaled(expected), tolerance, k);
}

testing::AssertionResult moved_alike(const Tensor& actual, const Tensor& expected, const Tensor& before, double share) {
    if (actual.shape() != expected.shape() || before.shape() != expected.shape()) {
        return testing::AssertionFailure() << "shapes differ: " << actual.shape().str() << ", expected "
                                           << expected.shape().str() << ", before " << before.shape().str();
    }
    double error = 0, movement = 0;
    for (int64_t i = 0; i < expected.numel(); ++i) {
        const auto is = static_cast<double>(actual.data()[i]), wanted = static_cast<double>(expected.data()[i]);
        const auto was = static_cast<double>(before.data()[i]);
        error += (is - wanted) * (is - wanted);
        movement += (wanted - was) * (wanted - was);
    }
    const double ratio = std::sqrt(error / movement);
    if (!(ratio <= share)) {
        return testing::AssertionFailure() << "differs by " << ratio << " of the expected movement "
                                           << std::sqrt(movement) << "; allowed " << share;
    }
    return testing::AssertionSuccess() << "differs by " << ratio << " of the expected movement; allowed " << share;
}

}  // namespace lethe::test
