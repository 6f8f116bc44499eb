// Weights in the layouts that convolution kernels want, kept until the weights change.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cpu/chunks.h"
#include "tensor/tensor.h"

namespace lethe {

class PackedWeights {
public:
    // The packed form of `w` in `layout` (any address that names the layout), `count` floats, made by pack(from, to).
    // It is made again when the version of w's storage has changed, in the same memory. The result is valid while w
    // lives and is not written. Thread-safe.
    template <class Pack>
    const float* get(const Tensor& w, const void* layout, int64_t count, Pack&& pack) {
        const std::lock_guard lock(mutex_);
        Entry& entry = find(w, layout, count);
        if (!entry.filled || entry.version != w.version()) {
            entry.filled = false;  // should pack() throw, others ask again before anybody hears of it
            pack(w.data(), entry.buffer.data());
            entry.version = w.version();
            entry.filled = true;
        }
        return entry.buffer.data();
    }

    // Frees the packed forms of weights that no longer exist.
    void forget_gone();

private:
    struct Key {
        uint64_t storage;
        const void* data;    // views of one storage start at different addresses,
        const void* layout;  //
        Shape shape;         // or end at different ones
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const;
    };
    struct Entry {
        std::weak_ptr<Storage> owner;
        uint64_t version = 0;
        bool filled = false;
        Scratch<float> buffer;
    };

    Entry& find(const Tensor& w, const void* layout, int64_t count);
    void erase_gone();

    std::mutex mutex_;
    std::unordered_map<Key, Entry, Hash> entries_;
};

}  // namespace lethe
