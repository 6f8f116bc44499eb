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

std::vector<float> hashed(const std::string& name, int64_t count) {
    uint32_t start = 0x811C9DC5;  // FNV-1a of the name
    for (const char letter : name) start = (start ^ static_cast<unsigned char>(letter)) * 0x01000193;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) {
        uint32_t h = start + static_cast<uint32_t>(i);
        h = (h ^ (h >> 16)) * 0x85EBCA6B;  // MurmurHash3's finalizer
        h = (h ^ (h >> 13)) * 0xC2B2AE35;
        h ^= h >> 16;
        values[i] = static_cast<float>(h >> 8) * 0x1p-24f - 0.5f;
    }
    return values;
}

void fill_hashed(const StateDict& state) {
    for (const auto& [name, tensor] : state) {
        if (tensor.dtype() != DType::float32) continue;
        std::vector<float> values = hashed(name, tensor.numel());
        if (tensor.rank() > 1) {
            const auto fan_in = static_cast<double>(tensor.numel() / tensor.dim(0));
            const auto width = static_cast<float>(std::sqrt(24.0 / fan_in));  // a uniform of width 1 has variance 1/12
            for (float& value : values) value *= width;
        } else if (name.ends_with("running_var") || name.ends_with("weight")) {
            for (float& value : values) value += 1.0f;
        }
        Tensor target = tensor;
        target.copy_from(Tensor::from_nchw(tensor.shape(), values));
    }
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
