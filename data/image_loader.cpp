#include "data/image_loader.h"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {

struct ImageLoader::Job {
    std::vector<int64_t> indices;
    std::optional<Augmentation> augment;
    float scale = 1;
    Tensor images;
    float* out = nullptr;  // of `images`
    // Guarded by the loader's mutex. Positions below `next` have been begun; `end` shrinks to that after a failure.
    int64_t next = 0, done = 0, end = 0;
    int64_t failed = 0;  // position of `error`
    std::exception_ptr error;
};

namespace {

// The steps up to resizing, which cost the most, and those after it, which may differ from one pass to the next. A
// random resized crop wants the image before it is resized.
Transform resizing(const Transform& transform) {
    if (transform.random_resized_crop > 0) return {};
    return {
        .resize = transform.resize, .resize_exact = transform.resize_exact, .interpolation = transform.interpolation};
}

Transform cropping(Transform transform) {
    if (transform.random_resized_crop > 0) return transform;
    transform.resize = 0;
    transform.resize_exact = {0, 0};
    return transform;
}

}  // namespace

ImageLoader::ImageLoader(std::unique_ptr<const ImageSource> source, const Transform& transform, int64_t cache_bytes)
    : source_(std::move(source)), transform_(transform), cache_(cache_bytes) {
    check(source_->size() > 0, "dataset: there are no images");
    const std::shared_ptr<const ImageBytes> first = resized(0);
    size_ = size_after(cropping(transform_), first->height, first->width);
}

ImageLoader::~ImageLoader() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

std::shared_ptr<const ImageBytes> ImageLoader::resized(int64_t index) {
    if (auto kept = cache_.find(index)) return kept;
    ImageBytes image = source_->read(index);
    const Transform resize = resizing(transform_);
    if (!resize.empty()) image = apply(resize, image);
    const auto result = std::make_shared<const ImageBytes>(std::move(image));
    cache_.offer(index, result);
    return result;
}

ImageBytes ImageLoader::prepared(int64_t index, const Random* augment, uint64_t item) {
    const std::shared_ptr<const ImageBytes> image = resized(index);
    const Transform crop = cropping(transform_);
    const std::array<int64_t, 2> size = size_after(crop, image->height, image->width);
    check(size == size_, "image: ", source_->name(index), " becomes ", size[1], "x", size[0], ", but ",
          source_->name(0), " ", size_[1], "x", size_[0],
          "; all images must have one size, give a transform such as resize=", size_[0], "x", size_[1]);
    return crop.empty() ? *image : apply(crop, *image, augment, item);
}

std::vector<uint8_t> ImageLoader::bytes(int64_t index) { return prepared(index).pixels; }

PendingImages ImageLoader::request(std::span<const int64_t> indices, std::optional<Augmentation> augment,
                                   float pixel_scale) {
    const auto count = static_cast<int64_t>(indices.size());
    check(!augment || augment->items.size() == indices.size(), "augment: ", augment ? augment->items.size() : 0,
          " items for ", count, " images");
    for (const int64_t index : indices)
        check(index >= 0 && index < source_->size(), "dataset: image ", index, " of ", source_->size());
    auto job = std::make_shared<Job>();
    job->indices.assign(indices.begin(), indices.end());
    job->augment = std::move(augment);
    job->scale = pixel_scale;
    job->images = Tensor::empty({count, 3, height(), width()});
    job->out = job->images.mutable_data();
    job->end = count;
    if (count > 0) {
        const std::lock_guard lock(mutex_);
        queue_.push_back(job);
        start_threads();
    }
    wake_.notify_all();
    return {shared_from_this(), std::move(job)};
}

void ImageLoader::start_threads() {
    while (threads_.size() < static_cast<std::size_t>(threads())) threads_.emplace_back([this] { work(); });
}

void ImageLoader::fill(Job& job, int64_t position) {
    const auto at = static_cast<std::size_t>(position);
    const ImageBytes image = job.augment ? prepared(job.indices[at], &job.augment->random, job.augment->items[at])
                                         : prepared(job.indices[at]);
    bytes_to_floats(image.pixels, job.scale, job.out + at * image.pixels.size());  // both are channels-last
}

void ImageLoader::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
        if (stopping_) return;
        const std::shared_ptr<Job> job = queue_.front();
        const int64_t position = job->next++;
        if (job->next == job->end) queue_.pop_front();
        lock.unlock();
        std::exception_ptr error;
        try {
            fill(*job, position);
        } catch (...) {
            error = std::current_exception();
        }
        lock.lock();
        if (error && (!job->error || position < job->failed)) {
            // All positions before it have been begun, so the first failure of the batch will be known.
            job->error = error;
            job->failed = position;
            job->end = job->next;
            std::erase(queue_, job);
        }
        if (++job->done == job->end) finished_.notify_all();
    }
}

void ImageLoader::wait_for(Job& job) {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [&] { return job.done == job.end; });
    if (job.error) std::rethrow_exception(job.error);
}

void ImageLoader::cancel(const std::shared_ptr<Job>& job) {
    const std::lock_guard lock(mutex_);
    std::erase(queue_, job);
}

PendingImages::PendingImages(std::shared_ptr<ImageLoader> loader, std::shared_ptr<ImageLoader::Job> job)
    : loader_(std::move(loader)), job_(std::move(job)) {}

PendingImages::~PendingImages() {
    if (job_) loader_->cancel(job_);
}

PendingImages& PendingImages::operator=(PendingImages&& other) noexcept {
    std::swap(ready_, other.ready_);
    std::swap(loader_, other.loader_);
    std::swap(job_, other.job_);
    return *this;
}

Tensor PendingImages::get() {
    check(job_ != nullptr || ready_.defined(), "images: this batch was taken before, or never asked for");
    if (!job_) return std::exchange(ready_, Tensor());
    const std::shared_ptr<ImageLoader::Job> job = std::exchange(job_, nullptr);
    loader_->wait_for(*job);
    return std::move(job->images);  // the worker that finished it may hold the job a moment longer
}

void bytes_to_floats(std::span<const uint8_t> bytes, float scale, float* out) {
    static const std::array<float, 256> values = [] {
        std::array<float, 256> table;
        for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i) / 255.0f;
        return table;
    }();
    for (const uint8_t byte : bytes) *out++ = values[byte] * scale;
}

}  // namespace lethe
