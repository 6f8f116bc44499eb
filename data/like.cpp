#include "data/like.h"

#include <map>

#include "data/byte_reader.h"

namespace lethe {
namespace {

// As a model has it, but flat: of any number of dimensions.
Tensor values_of(const StoredTensor& stored) { return to_tensor({stored.element, {stored.numel()}, stored.bytes}); }

StoredTensor converted(const StoredTensor& stored, const StoredTensor& original) {
    check(stored.sizes == original.sizes, "has the shape ", shape_text(stored.sizes), ", the original's is ",
          shape_text(original.sizes));
    if (stored.element == original.element) return stored;
    const Tensor values = values_of(stored);
    check(values.dtype() == original.element->dtype, "is ", stored.element->name, ", the original's is ",
          original.element->name);
    const StoredTensor as_the_model = to_stored(values), original_values = to_stored(values_of(original));
    if (as_the_model.bytes == original_values.bytes) return original;
    StoredTensor result = to_stored(values, *original.element);
    result.sizes = original.sizes;
    return result;
}

}  // namespace

LikeOriginal like_original(const StoredState& entries, const StoredState& original) {
    const std::size_t prefix = shared_prefix(original).size(), own_prefix = shared_prefix(entries).size();
    std::map<std::string, const StoredTensor*> by_name;
    for (const auto& [name, tensor] : entries) by_name[name.substr(own_prefix)] = &tensor;

    LikeOriginal result;
    for (const auto& [name, tensor] : original) {
        const auto found = by_name.find(name.substr(prefix));
        if (found == by_name.end()) {
            result.kept.push_back(name);
            result.entries.emplace_back(name, tensor);
            continue;
        }
        try {
            result.entries.emplace_back(name, converted(*found->second, tensor));
        } catch (const Error& error) {
            fail("entry '", printable(name), "': ", error.what());
        }
        by_name.erase(found);
    }
    check(result.kept.size() < original.size(), "has none of the names of the weights that are to be written like it");
    for (const auto& [name, tensor] : by_name) {
        check(name.ends_with("num_batches_tracked"), "has no entry '", printable(name), "'");
        result.dropped.push_back(name);
    }
    return result;
}

}  // namespace lethe
