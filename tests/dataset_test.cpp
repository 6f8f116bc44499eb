#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "data/cifar.h"
#include "data/file.h"
#include "data/image_file.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::size_t record_bytes = 3073;

// `count` CIFAR-10 records: labels 0, 1, 2, ...; byte j of record i is (7 * i + j) % 256.
std::vector<uint8_t> cifar_records(std::size_t count) {
    std::vector<uint8_t> bytes;
    for (std::size_t i = 0; i < count; ++i) {
        bytes.push_back(static_cast<uint8_t>(i % 10));
        for (std::size_t j = 0; j + 1 < record_bytes; ++j) bytes.push_back(static_cast<uint8_t>((7 * i + j) % 256));
    }
    return bytes;
}

void write_cifar(const TemporaryFolder& folder, std::size_t per_batch = 2) {
    for (int batch = 1; batch <= 5; ++batch)
        write_file(folder.path(concat("data_batch_", batch, ".bin")), cifar_records(per_batch));
    write_file(folder.path("test_batch.bin"), cifar_records(3));
}

std::string cifar_error(const TemporaryFolder& folder, Split split = Split::test) {
    return error_of([&] { load_dataset("cifar10:" + folder.path(), split); });
}

TEST(Cifar10, ReadsRecordsPlanesAndSplits) {
    const TemporaryFolder folder;
    write_cifar(folder);
    const Dataset test = load_dataset("cifar10:" + folder.path(), Split::test);
    EXPECT_EQ(test.size(), 3);
    EXPECT_THAT(test.labels, ElementsAre(0, 1, 2));
    EXPECT_EQ(test.source, "cifar10:" + folder.path());
    EXPECT_EQ(test.class_names[3], "cat");
    // Pixel 5 of record 1: R, G, B are bytes 5, 1024 + 5 and 2048 + 5 of its planes; the planes' lengths vanish mod
    // 256.
    const std::vector<uint8_t> image = test.image_bytes(1);
    EXPECT_EQ(image.size(), 3072u);
    EXPECT_THAT(std::vector<uint8_t>(image.begin() + 15, image.begin() + 18), ElementsAre(12, 12, 12));
    const Dataset train = load_dataset("cifar10:" + folder.path(), Split::train);
    EXPECT_EQ(train.size(), 10);
    EXPECT_THAT(train.labels, ElementsAre(0, 1, 0, 1, 0, 1, 0, 1, 0, 1));
    EXPECT_NE(train.hash(), test.hash());
}

TEST(Cifar10, SeparatesThePlanes) {
    const TemporaryFolder folder;
    std::vector<uint8_t> record = cifar_records(1);
    record[1 + 40] = 11;
    record[1 + 1024 + 40] = 22;
    record[1 + 2048 + 40] = 33;
    write_file(folder.path("test_batch.bin"), record);
    const Dataset dataset = load_dataset("cifar10:" + folder.path(), Split::test);
    const std::vector<uint8_t> image = dataset.image_bytes(0);
    EXPECT_THAT(std::vector<uint8_t>(image.begin() + 120, image.begin() + 123), ElementsAre(11, 22, 33));
    const std::vector<float> values = dataset.images(std::vector<int64_t>{0}).to_nchw();
    EXPECT_EQ(values[40], 11.0f / 255.0f);
    EXPECT_EQ(values[1024 + 40], 22.0f / 255.0f);
    EXPECT_EQ(values[2048 + 40], 33.0f / 255.0f);
}

TEST(Cifar10, MissingFolderAndFile) {
    const TemporaryFolder folder;
    EXPECT_EQ(error_of([&] { load_dataset("cifar10:" + folder.path("none"), Split::train); }),
              "cifar10: there is no folder " + folder.path("none"));
    EXPECT_EQ(cifar_error(folder), "cifar: " + folder.path("test_batch.bin") + " is missing");
    write_cifar(folder);
    std::filesystem::remove(folder.path("data_batch_4.bin"));
    EXPECT_EQ(cifar_error(folder, Split::train), "cifar: " + folder.path("data_batch_4.bin") + " is missing");
    EXPECT_THAT(error_of([] { load_dataset("cifar10", Split::test); }), HasSubstr("write cifar10:DIR"));
}

TEST(Cifar10, TruncatedEmptyAndTooLong) {
    const TemporaryFolder folder;
    std::vector<uint8_t> bytes = cifar_records(3);
    bytes.pop_back();
    write_file(folder.path("test_batch.bin"), bytes);
    EXPECT_EQ(cifar_error(folder), "cifar: " + folder.path("test_batch.bin") +
                                       ": 9218 bytes are not a whole number of 3073-byte records; the file is "
                                       "truncated or not a CIFAR-10 binary batch");
    write_file(folder.path("test_batch.bin"), {});
    EXPECT_THAT(cifar_error(folder), HasSubstr("is empty"));
    EXPECT_THAT(error_of([] { parse_cifar(std::vector<uint8_t>(50'001 * record_bytes), CifarLabels::cifar10); }),
                HasSubstr("50001 records are too many"));
}

TEST(Cifar10, LabelOutOfRangeNamesTheRecord) {
    const TemporaryFolder folder;
    std::vector<uint8_t> bytes = cifar_records(3);
    bytes[2 * record_bytes] = 10;
    write_file(folder.path("test_batch.bin"), bytes);
    EXPECT_EQ(cifar_error(folder),
              "cifar: " + folder.path("test_batch.bin") + ": record 2 has label 10; labels are 0 to 9");
}

TEST(Cifar10, ClassNamesFile) {
    const TemporaryFolder folder;
    write_cifar(folder);
    write_text(folder.path("batches.meta.txt"), "a\nb\nc\r\nd\ne\nf\ng\nh\ni\nj\n\n");
    EXPECT_THAT(load_dataset("cifar10:" + folder.path(), Split::test).class_names,
                ElementsAre("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"));
    write_text(folder.path("batches.meta.txt"), "a\nb\n");
    EXPECT_THAT(cifar_error(folder), HasSubstr("names 2 classes; it should name 10"));
}

// Computed with NumPy from the same files.
TEST(Cifar10, RealData) {
    const std::string path = shared_path("data/cifar-10-batches-bin");
    if (path.empty()) GTEST_SKIP() << "data/cifar-10-batches-bin is not among the optional material";
    const Dataset test = load_dataset("cifar10:" + path, Split::test);
    ASSERT_EQ(test.size(), 10'000);
    EXPECT_EQ(std::vector<int64_t>(test.labels.begin(), test.labels.begin() + 8),
              (std::vector<int64_t>{3, 6, 8, 5, 6, 9, 5, 0}));
    EXPECT_EQ(std::accumulate(test.pixels.begin(), test.pixels.end(), uint64_t{0}), 3733375634u);
    const std::vector<uint8_t> first = test.image_bytes(0);
    EXPECT_THAT(std::vector<uint8_t>(first.begin(), first.begin() + 6), ElementsAre(84, 156, 106, 110, 171, 120));
    EXPECT_EQ(test.class_names[3], "cat");
    const Dataset train = load_dataset("cifar10:" + path, Split::train);
    ASSERT_EQ(train.size(), 50'000);
    EXPECT_EQ(train.labels[36044], 6);
}

TEST(Dataset, ImagesAreExactQuotients) {
    Dataset dataset;
    dataset.height = 16;
    dataset.width = 16;
    dataset.channels = 1;
    dataset.class_names = {"all"};
    dataset.labels = {0};
    for (int i = 0; i < 256; ++i) dataset.pixels.push_back(static_cast<uint8_t>(i));
    const Tensor image = dataset.images(std::vector<int64_t>{0, 0});
    EXPECT_EQ(image.shape(), (Shape{2, 1, 16, 16}));
    for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(image.values()[256 + i], static_cast<float>(i) / 255.0f);
    // Bits as torch computes torch.tensor(v, dtype=uint8).float().div(255)
    EXPECT_EQ(image.values()[77], 0x1.3535360000000p-2f);
    EXPECT_THROW(dataset.images(std::vector<int64_t>{1}), Error);
    EXPECT_THROW(dataset.images(std::vector<int64_t>{-1}), Error);
    EXPECT_THROW(dataset.labels_of(std::vector<int64_t>{1}), Error);
    EXPECT_THAT(dataset.labels_of(std::vector<int64_t>{0, 0}).int64_values(), ElementsAre(0, 0));
}

TEST(Dataset, UnknownKindNamesTheKnownOnes) {
    EXPECT_EQ(error_of([] { load_dataset("mnist:/x", Split::train); }),
              "dataset: unknown kind 'mnist' in 'mnist:/x'; known are cifar10:DIR, cifar100:DIR[:coarse], "
              "cifar-pickle:DIR[:coarse], csv:FILE[:FILE], folder:DIR, idx:DIR[:pad2], imagenet:DIR, "
              "synthetic[:SEED[:TRAIN_COUNT[:TEST_COUNT]]], utkface:DIR[:GROUPING[:SEED]]");
    EXPECT_THROW(load_dataset("", Split::train), Error);
}

class Folder : public testing::Test {
protected:
    void add(const std::string& file, int64_t height, int64_t width, uint8_t value) const {
        const std::filesystem::path path = folder.path(file);
        std::filesystem::create_directories(path.parent_path());
        const std::vector<uint8_t> pixels(static_cast<std::size_t>(height * width * 3), value);
        write_file(path, encode_png(height, width, pixels));
    }
    std::string error(Split split = Split::train) const {
        return error_of([&] { load_dataset("folder:" + folder.path(), split); });
    }

    TemporaryFolder folder;
};

TEST_F(Folder, ReadsInNameOrder) {
    add("train/dog/b.png", 4, 6, 20);
    add("train/dog/a.PNG", 4, 6, 10);
    add("train/cat/z.png", 4, 6, 30);
    add("test/dog/q.png", 4, 6, 40);
    write_text(folder.path("train/dog/notes.txt"), "ignored");
    write_text(folder.path("train/dog/.hidden.png"), "ignored");
    const Dataset train = load_dataset("folder:" + folder.path(), Split::train);
    EXPECT_THAT(train.class_names, ElementsAre("cat", "dog"));
    EXPECT_THAT(train.labels, ElementsAre(0, 1, 1));
    EXPECT_EQ(train.height, 4);
    EXPECT_EQ(train.width, 6);
    EXPECT_EQ(train.image_bytes(0)[0], 30);
    EXPECT_EQ(train.image_bytes(1)[71], 10);
    EXPECT_EQ(train.image_bytes(2)[5], 20);
    EXPECT_THAT(load_dataset("folder:" + folder.path(), Split::test).labels, ElementsAre(1));
}

TEST_F(Folder, ReadsPpmAndBmp) {
    std::filesystem::create_directories(folder.path("train/a"));
    write_text(folder.path("train/a/1.ppm"), "P6\n2 1\n255\nabcdef");
    const Dataset dataset = load_dataset("folder:" + folder.path(), Split::train);
    const std::vector<uint8_t> image = dataset.image_bytes(0);
    EXPECT_EQ(std::string(image.begin(), image.end()), "abcdef");
}

TEST_F(Folder, Errors) {
    EXPECT_THAT(error(), HasSubstr("there is no folder " + folder.path("train")));
    std::filesystem::create_directories(folder.path("train/cat"));
    EXPECT_THAT(error(), HasSubstr("holds no images"));
    add("train/cat/a.png", 4, 4, 1);
    add("train/cat/b.png", 4, 5, 1);
    const Dataset mixed = load_dataset("folder:" + folder.path(), Split::train);
    EXPECT_EQ(error_of([&] {
                  mixed.images(std::vector<int64_t>{0, 1});
              }),
              "image: " + folder.path("train/cat/b.png") + " becomes 5x4, but " + folder.path("train/cat/a.png") +
                  " 4x4; all images must have one size, give a transform such as resize=4x4");
    add("test/horse/a.png", 4, 4, 1);
    EXPECT_THAT(error(Split::test), HasSubstr("is a class that the train folder does not have"));
}

TEST_F(Folder, DamagedPicturesFailAtUseOrAreLeftOut) {
    for (const char* file : {"train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "train/b/3.png"})
        add(file, 40, 40, static_cast<uint8_t>(file[6] == 'a' ? 10 : 20));
    write_text(folder.path("train/a/1.png"), "not a picture");
    std::vector<uint8_t> bytes = read_file(folder.path("train/b/2.png"));
    bytes.resize(bytes.size() / 2);
    write_file(folder.path("train/b/2.png"), bytes);

    const Dataset checked = load_dataset("folder:" + folder.path(), Split::train, {.on_corrupt = OnCorrupt::skip});
    EXPECT_EQ(checked.size(), 3);
    EXPECT_THAT(checked.labels, ElementsAre(0, 1, 1));
    EXPECT_THAT(checked.files,
                ElementsAre(folder.path("train/a/2.png"), folder.path("train/b/1.png"), folder.path("train/b/3.png")));
    EXPECT_EQ(checked.image_bytes(2)[0], 20);
    EXPECT_THAT(checked.skipped,
                ElementsAre(HasSubstr(folder.path("train/a/1.png") + " is not a JPEG, PNG"),
                            HasSubstr(folder.path("train/b/2.png") + " is a damaged or truncated PNG file")));

    EXPECT_THAT(error(), HasSubstr(folder.path("train/a/1.png")));  // the first image gives the size
    std::filesystem::remove(folder.path("train/a/1.png"));
    const Dataset trusting = load_dataset("folder:" + folder.path(), Split::train);
    EXPECT_EQ(trusting.size(), 4);
    EXPECT_THAT(error_of([&] {
                    trusting.images(std::vector<int64_t>{0, 2});
                }),
                HasSubstr(folder.path("train/b/2.png") + " is a damaged or truncated PNG file"));
    std::filesystem::remove_all(folder.path("train/b"));
    write_text(folder.path("train/a/2.png"), "not a picture");
    EXPECT_THAT(
        error_of([&] { load_dataset("folder:" + folder.path(), Split::train, {.on_corrupt = OnCorrupt::skip}); }),
        HasSubstr("none of the 1 images can be read"));
}

// Computed by hand from the definition: a dataset read on demand is its names, labels and files, not its folder.
TEST_F(Folder, HashCoversNamesLabelsAndContents) {
    add("train/a/1.png", 4, 4, 10);
    add("train/b/1.png", 4, 4, 20);
    const std::string text = "3 4 4 2\na\nb\n0\n1\n" + sha256_file(folder.path("train/a/1.png")) + "\n" +
                             sha256_file(folder.path("train/b/1.png")) + "\nnone\n";
    const std::vector<uint8_t> bytes(text.begin(), text.end());
    EXPECT_EQ(load_dataset("folder:" + folder.path(), Split::train).hash(), sha256(bytes));
    const TemporaryFolder moved;
    std::filesystem::copy(folder.path("train"), moved.path("train"), std::filesystem::copy_options::recursive);
    EXPECT_EQ(load_dataset("folder:" + moved.path(), Split::train).hash(), sha256(bytes));
    add("train/b/1.png", 4, 4, 21);
    EXPECT_NE(load_dataset("folder:" + folder.path(), Split::train).hash(), sha256(bytes));
}

// --- augmentation

// The offsets and the mirror found by trying all of them against the definition, pixel by pixel.
bool is_crop_of(const Tensor& result, const Tensor& original, int64_t pad, int64_t down, int64_t right, bool mirrored) {
    const int64_t height = original.dim(2), width = original.dim(3);
    const std::vector<float> got = result.to_nchw(), from = original.to_nchw();
    for (int64_t c = 0; c < original.dim(1); ++c)
        for (int64_t y = 0; y < height; ++y)
            for (int64_t x = 0; x < width; ++x) {
                const int64_t v = y + down - pad, u = (mirrored ? width - 1 - x : x) + right - pad;
                const bool outside = v < 0 || v >= height || u < 0 || u >= width;
                const float expected = outside ? 0 : from[static_cast<std::size_t>((c * height + v) * width + u)];
                if (got[static_cast<std::size_t>((c * height + y) * width + x)] != expected) return false;
            }
    return true;
}

TEST(Augment, IsACropOfThePaddedImage) {
    const Random random(4, Purpose::augment);
    const Tensor original = random_tensor({1, 3, 5, 6}, 9);
    int counts[2][5][5] = {};
    for (uint64_t item = 0; item < 2000; ++item) {
        Tensor image = original.clone();
        augment_crop_flip(image, std::vector<uint64_t>{item}, 2, random);
        int matches = 0;
        for (int place = 0; place < 50; ++place) {
            const int mirrored = place / 25, down = place / 5 % 5, right = place % 5;
            if (!is_crop_of(image, original, 2, down, right, mirrored == 1)) continue;
            ++matches;
            ++counts[mirrored][down][right];
        }
        ASSERT_EQ(matches, 1) << "item " << item;
    }
    // 40 expected of each of the 50 outcomes, standard deviation 6.3
    for (const auto& half : counts)
        for (const auto& row : half)
            for (const int count : row) EXPECT_NEAR(count, 40, 28);
}

TEST(Augment, DependsOnTheItemAlone) {
    const Random random(4, Purpose::augment);
    const Tensor original = random_tensor({4, 3, 8, 8}, 9);
    Tensor all = original.clone(), last = original.rows(2, 4).clone();
    augment_crop_flip(all, std::vector<uint64_t>{5, 6, 7, 8}, 4, random);
    augment_crop_flip(last, std::vector<uint64_t>{7, 8}, 4, random);
    EXPECT_TRUE(identical(last, all.rows(2, 4).clone()));
    set_threads(2);
    Tensor again = original.clone();
    augment_crop_flip(again, std::vector<uint64_t>{5, 6, 7, 8}, 4, random);
    set_threads(1);
    EXPECT_TRUE(identical(again, all));
}

TEST(Augment, WithoutPaddingOnlyMirrors) {
    const Tensor original = random_tensor({1, 3, 4, 4}, 1);
    Tensor image = original.clone();
    augment_crop_flip(image, std::vector<uint64_t>{3}, 0, Random(0, Purpose::augment));
    EXPECT_TRUE(is_crop_of(image, original, 0, 0, 0, false) || is_crop_of(image, original, 0, 0, 0, true));
}

TEST(Augment, Errors) {
    Tensor images = random_tensor({2, 3, 4, 4}, 1);
    const Random random(0, Purpose::augment);
    EXPECT_EQ(error_of([&] { augment_crop_flip(images, std::vector<uint64_t>{1}, 2, random); }),
              "augment: 1 items for 2 images");
    EXPECT_THROW(augment_crop_flip(images, std::vector<uint64_t>{1, 2}, -1, random), Error);
}

}  // namespace
}  // namespace lethe::test
