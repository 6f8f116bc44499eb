// Batches of images made on threads of their own, ahead of the computation that needs them.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "data/image_cache.h"
#include "data/image_file.h"
#include "data/transform.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace lethe {

// Images as they are stored, by number. read() may be called from several threads at once; it throws Error naming the
// image when that cannot be read.
class ImageSource {
public:
    virtual ~ImageSource() = default;
    virtual int64_t size() const = 0;
    virtual ImageBytes read(int64_t index) const = 0;
    virtual std::string name(int64_t index) const = 0;    // for messages
    virtual std::string sha256(int64_t index) const = 0;  // of the stored bytes
};

// The random numbers of a batch of training images: items[i] addresses those of image i.
struct Augmentation {
    Random random;
    std::vector<uint64_t> items;
};

class PendingImages;

// Turns images of a source into batches of one size: decodes, transforms. At most lethe::threads() threads of its own,
// started by the first request. Thread-safe.
class ImageLoader : public std::enable_shared_from_this<ImageLoader> {
public:
    // All images must become one size by the transform, that of the first one, which is read here. As many bytes of
    // images as `cache_bytes` are kept as they are after resizing, when only copying is left to be done. Throws Error
    // if the source is empty, or its first image cannot be read.
    ImageLoader(std::unique_ptr<const ImageSource> source, const Transform& transform, int64_t cache_bytes);
    ~ImageLoader();
    ImageLoader(const ImageLoader&) = delete;
    ImageLoader& operator=(const ImageLoader&) = delete;

    const ImageSource& source() const { return *source_; }
    int64_t height() const { return size_[0]; }
    int64_t width() const { return size_[1]; }
    const Transform& transform() const { return transform_; }
    // [height, width, 3] bytes of one image, without augmentation, on the calling thread.
    std::vector<uint8_t> bytes(int64_t index);
    // Batches are worked on in the order of the requests, their images in the order of `indices`. The random steps of
    // the transform are taken where `augment` is given.
    PendingImages request(std::span<const int64_t> indices, std::optional<Augmentation> augment, float pixel_scale);
    ImageCache::Stats cache_stats() const { return cache_.stats(); }

private:
    friend class PendingImages;
    struct Job;
    std::shared_ptr<const ImageBytes> resized(int64_t index);
    ImageBytes prepared(int64_t index, const Random* augment = nullptr, uint64_t item = 0);
    void fill(Job& job, int64_t position);
    void work();
    void start_threads();
    void wait_for(Job& job);
    void cancel(const std::shared_ptr<Job>& job);

    const std::unique_ptr<const ImageSource> source_;
    const Transform transform_;
    std::array<int64_t, 2> size_{};  // height, width
    ImageCache cache_;
    std::mutex mutex_;  // guards everything below and the progress of every job
    std::condition_variable wake_, finished_;
    std::deque<std::shared_ptr<Job>> queue_;  // jobs with images that nobody has begun
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

// A batch on its way. Dropping it cancels what has not been begun.
class PendingImages {
public:
    PendingImages() = default;
    explicit PendingImages(Tensor ready) : ready_(std::move(ready)) {}
    PendingImages(std::shared_ptr<ImageLoader> loader, std::shared_ptr<ImageLoader::Job> job);
    ~PendingImages();
    PendingImages(PendingImages&&) = default;
    PendingImages& operator=(PendingImages&&) noexcept;

    // The batch [n, 3, height, width], waiting for it; once. Throws Error of the first image that could not be read.
    Tensor get();

private:
    Tensor ready_;
    std::shared_ptr<ImageLoader> loader_;
    std::shared_ptr<ImageLoader::Job> job_;
};

// value / 255 * scale for all bytes, in float as torchvision's ToTensor computes it; multiplying by 1/255 would differ
// in the last bit.
void bytes_to_floats(std::span<const uint8_t> bytes, float scale, float* out);

}  // namespace lethe
