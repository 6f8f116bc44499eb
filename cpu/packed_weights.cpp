#include "cpu/packed_weights.h"

#include <functional>
#include <utility>

namespace lethe {

std::size_t PackedWeights::Hash::operator()(const Key& key) const {
    const std::hash<const void*> hash;
    return std::hash<uint64_t>()(key.storage) * 31 + hash(key.data) * 17 + hash(key.layout);
}

PackedWeights::Entry& PackedWeights::find(const Tensor& w, const void* layout, int64_t count) {
    const Key key{w.storage()->id, w.data(), layout, w.shape()};
    if (const auto found = entries_.find(key); found != entries_.end()) return found->second;
    // A new entry is rare: the moment to forget the weights that are gone.
    erase_gone();
    Scratch<float> buffer(count);  // first: an entry that got no memory must not be found
    Entry& entry = entries_[key];
    entry.owner = w.storage();
    entry.buffer = std::move(buffer);
    return entry;
}

void PackedWeights::erase_gone() {
    std::erase_if(entries_, [](const auto& item) { return item.second.owner.expired(); });
}

void PackedWeights::forget_gone() {
    const std::lock_guard lock(mutex_);
    erase_gone();
}

}  // namespace lethe
