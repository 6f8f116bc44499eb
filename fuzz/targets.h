// What the fuzzer and the tests feed bytes to: one function per loader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace lethe::fuzz {

using Bytes = std::span<const uint8_t>;

// Loads `bytes` as a file of its kind. Error is the only exception it may throw; whatever is accepted must also hold
// the properties that the target checks.
struct Target {
    std::string name;  // of the executable fuzz_NAME, of corpus/NAME and, where there is one, dictionaries/NAME.dict
    void (*load)(Bytes bytes);
};
const std::vector<Target>& targets();
const Target& target(const std::string& name);  // throws Error for an unknown name

// A property that an accepted file lacks. Not an Error, so nothing takes it for a refusal.
class Violation : public std::logic_error {
public:
    using std::logic_error::logic_error;
};
void require(bool holds, const std::string& property);  // throws Violation unless it holds
// What `action` returns, where an Error would be no refusal but a violation of `property`.
template <class Action>
auto without_error(const std::string& property, const Action& action) {
    try {
        return action();
    } catch (const Error& error) {
        throw Violation(property + ", but: " + error.what());
    }
}

// True when the target accepts the bytes, false when it refuses them with an Error that has a text; anything else it
// throws is passed on.
bool accepts(const Target& target, Bytes bytes);

// The targets. datasets.cpp:
void load_cifar(Bytes bytes);
void load_cifar_pickle(Bytes bytes);
void load_csv(Bytes bytes);
void load_idx(Bytes bytes);
// image.cpp:
void load_image(Bytes bytes);
void load_png(Bytes bytes);
// pickle.cpp, safetensors.cpp:
void load_pickle(Bytes bytes);
void load_safetensors(Bytes bytes);
// weights.cpp:
void load_model_config(Bytes bytes);
void load_npz(Bytes bytes);
void load_pytorch_legacy(Bytes bytes);
void load_pytorch_zip(Bytes bytes);
void load_shard_index(Bytes bytes);

}  // namespace lethe::fuzz
