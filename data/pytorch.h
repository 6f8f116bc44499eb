// The files torch.save writes. Both containers hold a pickle whose tensors refer to storages kept beside it.
// Formats: torch/serialization.py and torch/_utils.py of PyTorch 1.13.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "data/pickle.h"
#include "data/stored_tensor.h"
#include "data/weights.h"

namespace lethe {

// Errors do not name the file.
WeightFile parse_pytorch_zip(std::span<const uint8_t> file);
WeightFile parse_pytorch_legacy(std::span<const uint8_t> file);

// The bytes of a file that torch.load reads as an OrderedDict of contiguous tensors on the CPU, in this order, each
// with a storage of its own that begins at a multiple of 64 bytes. The metadata lie beside, where PyTorch does not
// look. The same entries give the same bytes. Throws Error for a name that appears twice or is not UTF-8.
std::vector<uint8_t> format_pytorch_zip(const StoredState& entries, const Metadata& metadata);

namespace pytorch {

// The names a checkpoint may mention: tensors, storages, dtypes, OrderedDict and NumPy's scalars.
bool is_known_name(std::string_view name);

// A storage as a pickle refers to it: ('storage', type, key, location, numel[, (view key, offset, size)]).
struct StorageReference {
    std::string key;
    const ElementInfo* element = nullptr;  // null: a type that is not read (complex, quantised)
    std::string type;                      // "torch.FloatStorage"
    int64_t numel = 0;                     // of the whole storage
    int64_t view_offset = 0;               // of the part that is meant, in elements; old files only
    int64_t view_numel = 0;
};
StorageReference storage_reference(const pickle::Value& persistent);

// Bytes of the whole storage; throws Error when the file does not have them.
using StorageSource = std::function<std::span<const uint8_t>(const StorageReference&)>;

// Finds the dictionary of tensors below `root` and reads it, with the dictionaries inside as "outer.inner". Entries
// that are neither are passed over: PyTorch keeps counters and "extra state" there, and strict loading reports whatever
// a model misses.
WeightFile read_state(const pickle::Value& root, const StorageSource& storages, MemoryBudget& budget);

}  // namespace pytorch
}  // namespace lethe
