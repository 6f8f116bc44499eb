#include "cpu/packed_weights.h"

#include <functional>

namespace lethe {

std::size_t PackedWeights::Hash::operator()(const Key& key) const {
    const std::hash<const void*> hash;
    return std::hash<uint64_t>()(key.storage) * 31 + hash(key.data) * 17 + hash(key.layout);
}

PackedWeights::Entry& PackedWeights::find(const Tensor& w, const void* layout, int64_t count) {
    const Key key{w.storage()->id, w.data(), layout, w.shape()};
    if (const auto found = entries_.find(key); found != entries_.end()) return found->second;
    // A new entry is rare: the moment to forget the weights that are gone.
    std::erase_if(entries_, [](const auto& item) { return item.second.owner.expired(); });
    Entry& entry = entries_[key];
    entry.owner = w.storage();
    entry.buffer = Scratch<float>(count);
    return entry;
}

}  // namespace lethe
