#include "data/image_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <numeric>
#include <set>

#include "tensor/parallel.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t side = 2, image_bytes = side * side * 3;

// Image i is grey i. Counts and records what is read; images listed in `bad` throw.
class Greys : public ImageSource {
public:
    explicit Greys(int64_t size, std::vector<int64_t> bad = {}) : size_(size), bad_(std::move(bad)) {}
    int64_t size() const override { return size_; }
    std::string name(int64_t index) const override { return concat("grey ", index); }
    std::string sha256(int64_t index) const override { return name(index); }
    ImageBytes read(int64_t index) const override {
        if (gate_) gate_->wait();
        {
            const std::lock_guard lock(mutex_);
            order_.push_back(index);
        }
        check(std::find(bad_.begin(), bad_.end(), index) == bad_.end(), name(index), " is damaged");
        const int64_t height = index == 250 ? side + 1 : side;
        return {height, side,
                std::vector<uint8_t>(static_cast<std::size_t>(height * side * 3), static_cast<uint8_t>(index))};
    }
    std::vector<int64_t> order() const {
        const std::lock_guard lock(mutex_);
        return order_;
    }

    // Forgets what was read so far; no image is read from now on before `gate` opens.
    void start(std::latch* gate) {
        gate_ = gate;
        order_.clear();
    }

private:
    std::latch* gate_ = nullptr;
    int64_t size_;
    std::vector<int64_t> bad_;
    mutable std::mutex mutex_;
    mutable std::vector<int64_t> order_;
};

struct Fixture {
    explicit Fixture(int64_t cached_images, std::vector<int64_t> bad = {}, std::latch* gate = nullptr) {
        auto greys = std::make_unique<Greys>(251, std::move(bad));
        source = greys.get();
        Greys* opened = greys.get();
        loader = std::make_shared<ImageLoader>(std::move(greys), Transform{}, cached_images * image_bytes);
        opened->start(gate);
    }
    PendingImages request(std::vector<int64_t> indices) { return loader->request(indices, {}, 1.0f); }

    const Greys* source;
    std::shared_ptr<ImageLoader> loader;
};

class ImageLoaderTest : public testing::Test {
protected:
    void TearDown() override { set_threads(1); }
};

TEST_F(ImageLoaderTest, RowsAreInTheOrderAskedForWhateverTheThreads) {
    for (const int count : {1, 4}) {
        set_threads(count);
        Fixture fixture(0);
        std::vector<int64_t> indices(200);
        std::iota(indices.rbegin(), indices.rend(), int64_t{0});
        const Tensor images = fixture.request(indices).get();
        ASSERT_EQ(images.shape(), (Shape{200, 3, side, side}));
        for (std::size_t i = 0; i < indices.size(); ++i)
            for (std::size_t j = 0; j < image_bytes; ++j)
                ASSERT_EQ(images.values()[i * image_bytes + j], static_cast<float>(indices[i]) / 255.0f);
        EXPECT_TRUE(images.unique());
    }
}

TEST_F(ImageLoaderTest, DecodesAheadInTheOrderOfTheRequests) {
    set_threads(1);
    std::latch gate(1);
    Fixture fixture(0, {}, &gate);
    PendingImages first = fixture.request({5, 6}), second = fixture.request({9, 8, 7});
    EXPECT_TRUE(fixture.source->order().empty());
    gate.count_down();
    second.get();  // the first batch is finished meanwhile, though nobody has asked for it
    EXPECT_THAT(fixture.source->order(), ElementsAre(5, 6, 9, 8, 7));
    EXPECT_EQ(first.get().values()[0], 5.0f / 255.0f);
    EXPECT_THAT(error_of([&] { first.get(); }), HasSubstr("was taken before"));
}

TEST_F(ImageLoaderTest, ADroppedBatchIsNotReadToTheEnd) {
    set_threads(1);
    std::latch gate(1);
    Fixture fixture(0, {}, &gate);
    { const PendingImages dropped = fixture.request({1, 2, 3, 4}); }
    PendingImages next = fixture.request({7});
    gate.count_down();
    next.get();
    const std::vector<int64_t> order = fixture.source->order();
    EXPECT_LE(order.size(), 2u) << "one image may have been begun";
    EXPECT_EQ(order.back(), 7);
}

TEST_F(ImageLoaderTest, OutlivesItsOwnerWhileABatchIsPending) {
    set_threads(2);
    std::latch gate(1);
    Fixture fixture(0, {}, &gate);
    PendingImages pending = fixture.request({3});
    fixture.loader.reset();
    gate.count_down();
    EXPECT_EQ(pending.get().values()[0], 3.0f / 255.0f);
}

TEST_F(ImageLoaderTest, TheFirstDamagedImageOfABatchIsNamed) {
    for (const int count : {1, 4}) {
        set_threads(count);
        Fixture fixture(0, {30, 31, 40});
        std::vector<int64_t> indices(60);
        std::iota(indices.begin(), indices.end(), int64_t{0});
        EXPECT_EQ(error_of([&] { fixture.request(indices).get(); }), "grey 30 is damaged");
        EXPECT_EQ(fixture.request({1, 2}).get().dim(0), 2) << "other batches go on";
    }
}

TEST_F(ImageLoaderTest, RefusesWhatDoesNotFit) {
    Fixture fixture(0);
    EXPECT_THAT(error_of([&] { fixture.request({251}); }), HasSubstr("image 251 of 251"));
    EXPECT_EQ(error_of([&] { fixture.request({250}).get(); }),
              "image: grey 250 becomes 2x3, but grey 0 2x2; all images must have one size, give a transform such as "
              "resize=2x2");
    EXPECT_EQ(
        error_of([&] {
            fixture.loader->request(std::vector<int64_t>{1, 2}, Augmentation{Random(0, Purpose::augment), {1}}, 1);
        }),
        "augment: 1 items for 2 images");
}

TEST_F(ImageLoaderTest, KeepsTheFirstImagesUpToTheLimit) {
    set_threads(1);
    Fixture fixture(3);
    for (int pass = 0; pass < 3; ++pass) fixture.request({0, 1, 2, 3, 4}).get();
    // Image 0 was read at the start, for its size.
    EXPECT_THAT(fixture.source->order(), ElementsAre(1, 2, 3, 4, 3, 4, 3, 4));
    const ImageCache::Stats stats = fixture.loader->cache_stats();
    EXPECT_EQ(stats.images, 3);
    EXPECT_EQ(stats.bytes, 3 * image_bytes);
    EXPECT_EQ(stats.hits, 7u);
    EXPECT_EQ(stats.misses, 9u);
}

TEST_F(ImageLoaderTest, ZeroCacheKeepsNothingAndNegativeIsRefused) {
    Fixture fixture(0);
    fixture.request({1, 1}).get();
    EXPECT_EQ(fixture.source->order().size(), 2u);
    EXPECT_THROW(ImageCache(-1), Error);
}

// 4x6 images whose byte (y, x, channel) is 30 y + 3 x + channel.
class Ramps : public ImageSource {
public:
    int64_t size() const override { return 3; }
    std::string name(int64_t index) const override { return concat("ramp ", index); }
    std::string sha256(int64_t index) const override { return name(index); }
    ImageBytes read(int64_t) const override {
        ImageBytes image{4, 6, {}};
        for (int y = 0; y < 4; ++y)
            for (int i = 0; i < 18; ++i) image.pixels.push_back(static_cast<uint8_t>(30 * y + i));
        return image;
    }
};

TEST_F(ImageLoaderTest, EvaluationTakesTheMiddleAndTrainingWhatTheItemSays) {
    const Transform transform = parse_transform("random-crop=2,flip");
    const auto loader = std::make_shared<ImageLoader>(std::make_unique<Ramps>(), transform, 0);
    EXPECT_EQ(loader->height(), 2);
    EXPECT_EQ(loader->width(), 2);
    EXPECT_THAT(loader->bytes(1), ElementsAre(36, 37, 38, 39, 40, 41, 66, 67, 68, 69, 70, 71));
    const Random random(3, Purpose::augment);
    const std::vector<int64_t> indices{0, 1, 2, 0};
    const std::vector<uint64_t> items{70, 71, 72, 73};
    const Tensor images = loader->request(indices, Augmentation{random, items}, 1).get();
    std::set<std::vector<uint8_t>> different;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const ImageBytes expected = apply(transform, Ramps().read(0), &random, items[i]);
        for (std::size_t j = 0; j < 12; ++j)
            ASSERT_EQ(images.values()[12 * i + j], static_cast<float>(expected.pixels[j]) / 255.0f);
        different.insert(expected.pixels);
    }
    EXPECT_GT(different.size(), 2u);
    // Other batches, another order, another number of threads: the item alone decides.
    set_threads(3);
    const Tensor again = loader->request(std::vector<int64_t>{2}, Augmentation{random, {items[2]}}, 1).get();
    EXPECT_TRUE(identical(again, images.rows(2, 3).clone()));
}

// A random resized crop is cut from the stored image, so that is what is kept.
TEST_F(ImageLoaderTest, RandomResizedCropsComeFromTheKeptOriginal) {
    const Transform transform = parse_transform("resize=3,random-resized-crop=2,flip");
    const auto loader = std::make_shared<ImageLoader>(std::make_unique<Ramps>(), transform, 1 << 20);
    const Random random(3, Purpose::augment);
    for (int pass = 0; pass < 2; ++pass) {
        const std::vector<uint64_t> items{7, 8};
        const Tensor images = loader->request(std::vector<int64_t>{0, 0}, Augmentation{random, items}, 1).get();
        for (std::size_t i = 0; i < items.size(); ++i) {
            const ImageBytes expected = apply(transform, Ramps().read(0), &random, items[i]);
            for (std::size_t j = 0; j < 12; ++j)
                ASSERT_EQ(images.values()[12 * i + j], static_cast<float>(expected.pixels[j]) / 255.0f);
        }
    }
    EXPECT_EQ(loader->bytes(0), apply(transform, Ramps().read(0)).pixels);
    EXPECT_EQ(loader->cache_stats().bytes, 4 * 6 * 3);
}

TEST_F(ImageLoaderTest, ResizedImagesAreKeptAndCroppedAnew) {
    const Transform transform = parse_transform("resize=2x3,random-crop=2");
    const auto loader = std::make_shared<ImageLoader>(std::make_unique<Ramps>(), transform, 1 << 20);
    const ImageBytes expected = apply(transform, Ramps().read(0));
    EXPECT_EQ(loader->bytes(0), expected.pixels);
    EXPECT_EQ(loader->bytes(0), expected.pixels);
    EXPECT_EQ(loader->cache_stats().bytes, 2 * 3 * 3);
    EXPECT_EQ(loader->cache_stats().hits, 2u);
}

}  // namespace
}  // namespace lethe::test
