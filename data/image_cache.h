// Decoded images that are kept because they will be asked for again.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "data/image_file.h"

namespace lethe {

// Keeps the first images it is offered until their pixels reach the limit, and those for good. Passes over a dataset
// visit every image once each, in order or shuffled: whoever evicts the least recently used one then throws away just
// what comes back soonest and finds nothing, while first come, first kept finds limit / size of all images in every
// pass, which is the most there is. Thread-safe.
class ImageCache {
public:
    struct Stats {
        uint64_t hits = 0, misses = 0;
        int64_t images = 0, bytes = 0;
    };

    explicit ImageCache(int64_t limit_bytes);  // throws Error when negative; 0 keeps nothing

    std::shared_ptr<const ImageBytes> find(int64_t index);  // null when it is not there
    void offer(int64_t index, std::shared_ptr<const ImageBytes> image);
    Stats stats() const;

private:
    const int64_t limit_;
    mutable std::mutex mutex_;
    std::unordered_map<int64_t, std::shared_ptr<const ImageBytes>> kept_;
    Stats stats_;
};

}  // namespace lethe
