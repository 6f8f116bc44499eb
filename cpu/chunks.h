// How the CPU backend cuts its work: chunks depend on the arguments' shapes only, never on the number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tensor/allocator.h"
#include "tensor/parallel.h"

namespace lethe {

constexpr int64_t images_per_chunk = 16;         // fits ResNet-20's activations of one layer in the L2 cache
constexpr int64_t elements_per_chunk = 1 << 16;  // 256 KiB of floats

constexpr int64_t chunks_of(int64_t count, int64_t chunk) { return (count + chunk - 1) / chunk; }

// Calls task(begin, end) for consecutive ranges of at most `chunk` items.
template <class Task>
void for_chunks(int64_t count, int64_t chunk, Task&& task) {
    parallel_for(chunks_of(count, chunk), [&](int64_t i) { task(i * chunk, std::min(count, (i + 1) * chunk)); });
}

// Calls image(n) for each of `images`, in chunks of images_per_chunk.
template <class Image>
void for_images(int64_t images, Image&& image) {
    for_chunks(images, images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) image(n);
    });
}

// Temporary memory from the caching allocator, aligned to 64 bytes.
template <class T>
class Scratch {
public:
    Scratch() = default;
    explicit Scratch(int64_t count)
        : bytes_(static_cast<std::size_t>(count) * sizeof(T)),
          data_(static_cast<T*>(CachingAllocator::cpu().allocate(bytes_))) {}
    ~Scratch() {
        if (data_ != nullptr) CachingAllocator::cpu().release(data_, bytes_);
    }
    Scratch(Scratch&& other) noexcept : bytes_(other.bytes_), data_(other.data_) { other.data_ = nullptr; }
    Scratch& operator=(Scratch&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        std::swap(data_, other.data_);
        return *this;
    }

    T* data() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }
    std::size_t bytes() const { return bytes_; }

private:
    std::size_t bytes_ = 0;
    T* data_ = nullptr;
};

}  // namespace lethe
