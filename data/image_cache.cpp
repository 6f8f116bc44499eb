#include "data/image_cache.h"

#include <utility>

#include "tensor/error.h"

namespace lethe {

ImageCache::ImageCache(int64_t limit_bytes) : limit_(limit_bytes) {
    check(limit_bytes >= 0, "image cache: the limit must not be negative, got ", limit_bytes);
}

std::shared_ptr<const ImageBytes> ImageCache::find(int64_t index) {
    const std::lock_guard lock(mutex_);
    const auto found = kept_.find(index);
    if (found == kept_.end()) {
        ++stats_.misses;
        return nullptr;
    }
    ++stats_.hits;
    return found->second;
}

void ImageCache::offer(int64_t index, std::shared_ptr<const ImageBytes> image) {
    const auto bytes = static_cast<int64_t>(image->pixels.size());
    const std::lock_guard lock(mutex_);
    if (bytes > limit_ - stats_.bytes || !kept_.try_emplace(index, std::move(image)).second) return;
    ++stats_.images;
    stats_.bytes += bytes;
}

ImageCache::Stats ImageCache::stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
}

}  // namespace lethe
