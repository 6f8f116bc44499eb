// The published formats, against what torchvision and NumPy make of the same files (tests/golden/make_datasets.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "data/cifar.h"
#include "data/csv.h"
#include "data/dataset.h"
#include "data/file.h"
#include "data/idx.h"
#include "data/image_list.h"
#include "data/imagenet.h"
#include "data/utkface.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string golden_folder = LETHE_SOURCE_DIR "/tests/golden/datasets";

const Json& golden() {
    static const Json values = Json::parse(read_text(golden_folder + "/datasets.json"));
    return values;
}

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

// Class names, labels and every image, bit by bit.
void expect_contents(const std::string& text, const Json& expected) {
    for (const Split split : {Split::train, Split::test}) {
        SCOPED_TRACE(text + ", " + name(split));
        const Dataset dataset = load_dataset(text, split);
        const Json& part = expected.at(name(split));
        EXPECT_EQ(dataset.labels, part.at("labels").get<std::vector<int64_t>>());
        ASSERT_EQ(dataset.size(), static_cast<int64_t>(part.at("sha256").size()));
        for (int64_t i = 0; i < dataset.size(); ++i)
            EXPECT_EQ(sha256(dataset.image_bytes(i)),
                      part.at("sha256")[static_cast<std::size_t>(i)].get<std::string>());
        if (text.starts_with("cifar")) {
            EXPECT_EQ(dataset.class_names, part.at("classes").get<std::vector<std::string>>());
        }
    }
}

// A one-pixel picture that is black.
void add_pixel(const fs::path& file) {
    fs::create_directories(file.parent_path());
    write_text(file, "P6\n1 1\n255\n" + std::string(3, '\0'));
}

std::vector<std::string> names_of(const Dataset& dataset) {
    std::vector<std::string> names;
    for (const fs::path& file : dataset.files) names.push_back(file.filename().string());
    return names;
}

TEST(Cifar, BinaryAndPickledAgreeWithTorchvision) {
    expect_contents("cifar-pickle:" + golden_folder + "/cifar-10-batches-py", golden().at("cifar10"));
    expect_contents("cifar10:" + golden_folder + "/cifar-10-batches-bin", golden().at("cifar10"));
    for (const char* protocol : {"2", "4", "5"})
        expect_contents("cifar-pickle:" + golden_folder + "/cifar-100-protocol" + protocol, golden().at("cifar100"));
    expect_contents("cifar100:" + golden_folder + "/cifar-100-binary", golden().at("cifar100"));
}

TEST(Cifar, CoarseLabels) {
    for (const char* source : {"cifar100:%/cifar-100-binary:coarse", "cifar-pickle:%/cifar-100-protocol4:coarse"}) {
        std::string text = source;
        text.replace(text.find('%'), 1, golden_folder);
        const Dataset train = load_dataset(text, Split::train);
        EXPECT_EQ(train.labels, golden().at("cifar100").at("coarse").at("train").get<std::vector<int64_t>>());
        EXPECT_EQ(train.class_names.size(), 20u);
        EXPECT_EQ(train.class_names[19], "coarse19");
    }
    EXPECT_THAT(error_of([] { load_dataset("cifar10:" + golden_folder + ":coarse", Split::train); }),
                HasSubstr("only CIFAR-100 has coarse labels"));
}

TEST(Cifar, NamesWhenTheFilesHaveNone) {
    const TemporaryFolder folder;
    fs::copy(golden_folder + "/cifar-100-binary/test.bin", folder.path("test.bin"));
    const Dataset fine = load_dataset("cifar100:" + folder.path(), Split::test);
    EXPECT_EQ(fine.class_names[57], "pear");  // as fine_label_names.txt of the original
    EXPECT_EQ(fine.class_names.size(), 100u);
    EXPECT_EQ(load_dataset("cifar100:" + folder.path() + ":coarse", Split::test).class_names[4],
              "fruit_and_vegetables");
}

TEST(Cifar, PicklesOfNumPy2) {
    std::string text = read_text(golden_folder + "/cifar-100-protocol2/test");
    const std::string from = "numpy.core.multiarray", to = "numpy._core.multiarray";
    ASSERT_NE(text.find(from), std::string::npos);
    text.replace(text.find(from), from.size(), to);
    EXPECT_THAT(parse_cifar_pickle(bytes_of(text), CifarLabels::fine).labels, ElementsAre(57));
}

TEST(Cifar, HostilePicklesEndInOneSentence) {
    const std::string good = read_text(golden_folder + "/cifar-100-protocol4/test");
    const auto error = [](const std::string& text, CifarLabels labels = CifarLabels::fine) {
        return error_of([&] { parse_cifar_pickle(bytes_of(text), labels); });
    };
    EXPECT_THAT(error("\x80\x02"
                      "cposix\nsystem\nX\x02\0\0\0ls\x85R."),
                HasSubstr("never executes code"));
    EXPECT_THAT(error("\x80\x02]."), HasSubstr("holds no dictionary"));
    EXPECT_THAT(error(good.substr(0, good.size() - 100)), HasSubstr("truncated"));
    EXPECT_THAT(error(good, CifarLabels::cifar10), HasSubstr("no entry 'labels'"));
    EXPECT_THAT(error(std::string("\x80\x02}(X\x04\0\0\0dataK\x01u.", 17)), HasSubstr("'data' is not a NumPy array"));
    std::string renamed = good;
    renamed.replace(renamed.find("fine_labels"), 4, "fime");
    EXPECT_THAT(error(renamed), HasSubstr("no entry 'fine_labels'"));
    // Every single-byte change is either harmless or refused.
    for (std::size_t at = 0; at < 140; ++at) {
        std::string changed = good;
        changed[at] = static_cast<char>(changed[at] ^ 0x41);
        try {
            parse_cifar_pickle(bytes_of(changed), CifarLabels::fine);
        } catch (const Error& refused) {
            EXPECT_GT(std::string(refused.what()).size(), 10u);
        }
    }
}

// --- IDX

TEST(Idx, AgreesWithTorchvision) {
    expect_contents("idx:" + golden_folder + "/mnist/MNIST/raw", golden().at("mnist"));
    expect_contents("idx:" + golden_folder + "/mnist/MNIST", golden().at("mnist"));  // compressed
}

TEST(Idx, PadsAndNamesTheTrainingClasses) {
    const Dataset plain = load_dataset("idx:" + golden_folder + "/mnist/MNIST/raw", Split::test);
    const Dataset padded = load_dataset("idx:" + golden_folder + "/mnist/MNIST/raw:pad2", Split::test);
    EXPECT_EQ(plain.height, 5);
    EXPECT_EQ(plain.width, 4);
    EXPECT_EQ(padded.height, 9);
    EXPECT_EQ(padded.width, 8);
    const std::vector<uint8_t> inner = plain.image_bytes(1), outer = padded.image_bytes(1);
    for (int64_t y = 0; y < 9; ++y)
        for (int64_t x = 0; x < 8; ++x)
            for (int64_t c = 0; c < 3; ++c) {
                const bool inside = y >= 2 && y < 7 && x >= 2 && x < 6;
                const uint8_t expected = inside ? inner[static_cast<std::size_t>(((y - 2) * 4 + x - 2) * 3 + c)] : 0;
                ASSERT_EQ(outer[static_cast<std::size_t>((y * 8 + x) * 3 + c)], expected);
            }
    EXPECT_EQ(plain.class_names.size(), 10u);  // the training labels are 9, 2 and 5
}

TEST(Idx, WrongFilesEndInOneSentence) {
    const std::string images(
        "\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03"
        "abcdef",
        22);
    const std::string labels("\0\0\x08\x01\0\0\0\x02\x01\0", 10);
    const auto error = [](const std::string& left, const std::string& right) {
        return error_of([&] { parse_idx(bytes_of(left), bytes_of(right), 0); });
    };
    EXPECT_THAT(parse_idx(bytes_of(images), bytes_of(labels), 0).labels, ElementsAre(1, 0));
    EXPECT_EQ(error(images.substr(0, 21), labels), "the header says 2 images of 3x1 pixels, but 5 bytes follow");
    EXPECT_THAT(error(images, labels.substr(0, 9)), HasSubstr("2 labels, but 1 bytes follow"));
    EXPECT_THAT(error(labels, labels), HasSubstr("the images is no IDX file of bytes in 3 dimensions"));
    EXPECT_THAT(error("", ""), HasSubstr("no IDX file"));
    std::string huge = images;
    for (std::size_t at = 4; at < 16; ++at) huge[at] = '\xff';
    EXPECT_THAT(error(huge, labels), HasSubstr("images of 4294967295x4294967295 pixels"));
    std::string more = labels;
    more[7] = 3;
    EXPECT_THAT(error(images, more), HasSubstr("2 images but 3 labels"));
    std::string none = images.substr(0, 16);
    none[7] = 0;
    EXPECT_THAT(error(none, labels), HasSubstr("holds no images"));
}

TEST(Idx, DamagedAndBoundlessGzip) {
    std::vector<uint8_t> bytes = read_file(golden_folder + "/mnist/MNIST/train-images-idx3-ubyte.gz");
    EXPECT_EQ(gunzip(bytes, 76).size(), 76u);
    EXPECT_THAT(error_of([&] { gunzip(bytes, 75); }), HasSubstr("more than 75 bytes"));
    bytes.resize(bytes.size() - 20);
    EXPECT_THAT(error_of([&] { gunzip(bytes, 1000); }), HasSubstr("damaged or truncated"));
    const TemporaryFolder folder;
    EXPECT_THAT(error_of([&] { load_dataset("idx:" + folder.path(), Split::train); }),
                HasSubstr("train-images-idx3-ubyte is missing"));
}

// --- folders

TEST(ImageFolder, FindsWhatTorchvisionFindsInItsOrder) {
    const Json& expected = golden().at("image_folder");
    const TemporaryFolder folder;
    for (const std::string file : expected.at("files")) add_pixel(folder.path("train/" + file));
    add_pixel(folder.path("train/a/.hidden.png"));
    const Dataset dataset = load_dataset("folder:" + folder.path(), Split::train);
    EXPECT_EQ(dataset.class_names, expected.at("classes").get<std::vector<std::string>>());
    ASSERT_EQ(dataset.files.size(), expected.at("samples").size());
    for (std::size_t i = 0; i < dataset.files.size(); ++i) {
        const Json& sample = expected.at("samples")[i];
        EXPECT_EQ(fs::relative(dataset.files[i], folder.path("train")).string(), sample[0].get<std::string>());
        EXPECT_EQ(dataset.labels[i], sample[1].get<int64_t>());
    }
}

TEST(ImageFolder, ValIsTheTestSplitAndLoopsEnd) {
    const TemporaryFolder folder;
    add_pixel(folder.path("train/a/1.ppm"));
    add_pixel(folder.path("val/a/2.ppm"));
    EXPECT_THAT(names_of(load_dataset("folder:" + folder.path(), Split::test)), ElementsAre("2.ppm"));
    fs::create_directory_symlink(folder.path("train/a"), folder.path("train/a/loop"));
    EXPECT_THAT(error_of([&] { load_dataset("folder:" + folder.path(), Split::train); }),
                HasSubstr("nested more than 32 deep"));
}

TEST(ImageNet, ThousandSortedIds) {
    const auto& classes = imagenet_classes();
    std::set<std::string> ids;
    for (const ImageNetClass& each : classes) ids.insert(each.id);
    EXPECT_EQ(ids.size(), 1000u);
    for (std::size_t i = 0; i + 1 < classes.size(); ++i) EXPECT_LT(std::string(classes[i].id), classes[i + 1].id);
    // Known labels: the first, a cat, a crane of each kind, the last.
    EXPECT_EQ(imagenet_label("n01440764"), 0);
    EXPECT_EQ(imagenet_label("n02123045"), 281);
    EXPECT_EQ(imagenet_label("n02012849"), 134);
    EXPECT_EQ(imagenet_label("n03126707"), 517);
    EXPECT_EQ(imagenet_label("n15075141"), 999);
    EXPECT_STREQ(classes[999].words, "toilet tissue");
    EXPECT_EQ(imagenet_label("n00000000"), -1);
    EXPECT_EQ(imagenet_label(""), -1);
}

// ImageNet-A and -O are folders of a part of the ids, without splits.
TEST(ImageNet, SubsetsKeepTheLabelsOfTheThousand) {
    const TemporaryFolder folder;
    add_pixel(folder.path("n01498041/0.ppm"));
    add_pixel(folder.path("n02123045/1.ppm"));
    add_pixel(folder.path("n02123045/0.ppm"));
    for (const Split split : {Split::train, Split::test}) {
        const Dataset dataset = load_dataset("imagenet:" + folder.path(), split);
        EXPECT_THAT(dataset.labels, ElementsAre(6, 281, 281));
        EXPECT_THAT(names_of(dataset), ElementsAre("0.ppm", "0.ppm", "1.ppm"));
        ASSERT_EQ(dataset.classes(), 1000);
        EXPECT_EQ(dataset.class_names[6], "n01498041 stingray");
    }
    add_pixel(folder.path("cat/0.ppm"));
    EXPECT_THAT(error_of([&] { load_dataset("imagenet:" + folder.path(), Split::test); }),
                HasSubstr("is not named after one of the 1000 classes"));
}

TEST(ImageNet, TrainAndVal) {
    const TemporaryFolder folder;
    add_pixel(folder.path("train/n01440764/a.JPEG"));
    add_pixel(folder.path("val/n01443537/b.JPEG"));
    EXPECT_THAT(load_dataset("imagenet:" + folder.path(), Split::train).labels, ElementsAre(0));
    EXPECT_THAT(load_dataset("imagenet:" + folder.path(), Split::test).labels, ElementsAre(1));
    fs::remove_all(folder.path("train"));
    EXPECT_THAT(error_of([&] { load_dataset("imagenet:" + folder.path(), Split::train); }),
                HasSubstr("there are no train images"));
}

// --- UTKFace

const AgeGrouping& grouping(const std::string& name) {
    for (const AgeGrouping& each : age_groupings())
        if (each.name == name) return each;
    fail("no grouping ", name);
}

// Bounds: utils.py of csm9493/L2UL. Class i is bounds[i] <= age < bounds[i + 1].
TEST(UtkFace, BinsAtTheirBorders) {
    const std::vector<std::pair<std::string, std::vector<int64_t>>> bounds{
        {"TNN", {0, 10, 15, 20, 25, 30, 40, 50, 60}},
        {"MFD", {0, 20, 41}},
        {"balanced", {0, 20, 30, 45}},
        {"groups", {0, 4, 13, 20, 31, 46, 61}},
        {"tens", {0, 11, 21, 31, 41, 51, 61, 71, 81, 91, 101, 111}}};
    for (const auto& [name, first] : bounds) {
        const auto last = static_cast<int64_t>(first.size()) - 1;
        for (int64_t c = 0; c <= last; ++c) {
            const int64_t from = first[static_cast<std::size_t>(c)];
            EXPECT_EQ(age_class(grouping(name), from), c) << name << ' ' << from;
            if (c > 0) {
                EXPECT_EQ(age_class(grouping(name), from - 1), c - 1) << name << ' ' << from - 1;
            }
        }
        for (const int64_t old : {119, 120, 121, 1000}) EXPECT_EQ(age_class(grouping(name), old), last) << name;
    }
    EXPECT_EQ(age_groupings().size(), bounds.size());
}

TEST(UtkFace, AgeOfAFileName) {
    EXPECT_EQ(age_of("61_1_20170109150557335.jpg.chip.jpg"), 61);
    EXPECT_EQ(age_of("1_0_0_x.jpg"), 1);
    for (const char* bad :
         {"", "_1.jpg", "x_1.jpg", "-3_1.jpg", "61.jpg", "61", "6 1_0.jpg", "99999999999999999999_1.jpg"})
        EXPECT_EQ(age_of(bad), -1) << bad;
}

TEST(UtkFace, SplitsAsTheReferenceDoes) {
    const Json& expected = golden().at("utkface");
    const TemporaryFolder folder;
    for (const std::string file : expected.at("files")) add_pixel(folder.path("an_a_i/" + file));
    const std::string source = "utkface:" + folder.path("an_a_i");
    const LoadOptions raw{.transform = Transform{}};
    for (const auto& [text, seed] : {std::pair{source, "0"}, {source + ":MFD:5", "5"}})
        for (const Split split : {Split::train, Split::test}) {
            const Dataset dataset = load_dataset(text, split, raw);
            EXPECT_EQ(names_of(dataset),
                      expected.at("splits").at(seed).at(name(split)).get<std::vector<std::string>>());
            EXPECT_THAT(dataset.class_names, ElementsAre("0-19", "20-40", "41+"));
            for (std::size_t i = 0; i < dataset.files.size(); ++i) {
                const int64_t age = std::stoll(dataset.files[i].filename().string());
                EXPECT_EQ(dataset.labels[i], age < 20 ? 0 : age < 41 ? 1 : 2);
            }
        }
    EXPECT_EQ(load_dataset(source + ":tens", Split::train, raw).classes(), 12);
    // What is neither: half of the rest, rounded down, in the order of the shuffle.
    std::set<std::string> rest;
    for (const std::string file : expected.at("files")) rest.insert(file);
    const std::size_t all = rest.size();
    for (const Split split : {Split::train, Split::test})
        for (const std::string& file : names_of(load_dataset(source, split, raw))) EXPECT_EQ(rest.erase(file), 1u);
    const std::vector<std::string> validation = names_of(load_dataset(source, Split::validation, raw));
    EXPECT_EQ(std::set(validation.begin(), validation.end()), rest);
    EXPECT_EQ(rest.size(), (all - all * 8 / 10) / 2);
    EXPECT_THAT(error_of([] { load_dataset("synthetic", Split::validation); }),
                HasSubstr("synthetic has no validation images of its own"));
}

TEST(UtkFace, TransformOfTheReferenceUnlessAnotherIsGiven) {
    const TemporaryFolder folder;
    for (int age = 1; age < 12; ++age) add_pixel(folder.path(concat(age, "_0_0_1.ppm")));
    const Dataset dataset =
        load_dataset("utkface:" + folder.path(), Split::train, {.for_files = parse_transform("imagenet")});
    EXPECT_EQ(dataset.height, 120);
    EXPECT_TRUE(dataset.augments());
    EXPECT_THAT(error_of([&] { load_dataset("utkface:" + folder.path() + ":tns", Split::train); }),
                HasSubstr("unknown age grouping 'tns'; known are TNN, MFD, balanced, groups, tens"));
    add_pixel(folder.path("old_0.ppm"));
    add_pixel(folder.path("young_0.ppm"));
    EXPECT_THAT(error_of([&] {
                    for (const Split split : {Split::train, Split::test})
                        load_dataset("utkface:" + folder.path(), split);
                }),
                HasSubstr("does not begin with an age"));
}

// --- lists

TEST(Csv, Parses) {
    using Row = std::vector<std::string>;
    EXPECT_THAT(parse_csv("a,b\n\r\n\"c,\"\"d\"\"\ne\",\nlast,row"),
                ElementsAre(Row{"a", "b"}, Row{"c,\"d\"\ne", ""}, Row{"last", "row"}));
    EXPECT_THAT(parse_csv("\xef\xbb\xbfx,1\r\n"), ElementsAre(Row{"x", "1"}));
    EXPECT_TRUE(parse_csv("").empty());
    EXPECT_EQ(error_of([] { parse_csv("a,b\nc,\"d"); }), "line 2: a quoted field does not end");
    EXPECT_EQ(error_of([] { parse_csv("a,\"b\"c\n"); }), "line 1: text follows a quoted field");
}

TEST(Csv, NamesNumbersSplitsAndRelativePaths) {
    const TemporaryFolder folder;
    for (const char* file : {"x/1.ppm", "x/2.ppm", "3.ppm"}) add_pixel(folder.path(file));
    write_text(folder.path("all.csv"), "file,label,split\nx/1.ppm,dog,train\n3.ppm,cat,test\nx/2.ppm,cat,Train\n");
    const std::string all = "csv:" + folder.path("all.csv");
    const Dataset train = load_dataset(all, Split::train);
    EXPECT_THAT(train.class_names, ElementsAre("cat", "dog"));
    EXPECT_THAT(train.labels, ElementsAre(1, 0));
    EXPECT_THAT(train.files, ElementsAre(folder.path("x/1.ppm"), folder.path("x/2.ppm")));
    EXPECT_THAT(names_of(load_dataset(all, Split::test)), ElementsAre("3.ppm"));

    write_text(folder.path("train.csv"), "x/1.ppm,0\nx/2.ppm,2\n");
    write_text(folder.path("test.csv"), folder.path("3.ppm") + ",10\n");
    const Dataset test = load_dataset("csv:" + folder.path("train.csv") + ":" + folder.path("test.csv"), Split::test);
    EXPECT_THAT(test.labels, ElementsAre(10));
    EXPECT_EQ(test.classes(), 11);
    EXPECT_EQ(test.image_bytes(0).size(), 3u);
}

TEST(Csv, Errors) {
    const TemporaryFolder folder;
    const auto error = [&](const std::string& text) {
        write_text(folder.path("a.csv"), text);
        return error_of([&] { load_dataset("csv:" + folder.path("a.csv"), Split::train); });
    };
    EXPECT_THAT(error(""), HasSubstr("lists no images"));
    EXPECT_THAT(error("file,label\n"), HasSubstr("lists no images"));
    EXPECT_THAT(error("a.png,1\n"), HasSubstr("without saying train or test"));
    EXPECT_THAT(error("a.png\n"), HasSubstr("row 1: a row is file,label"));
    EXPECT_THAT(error("a.png,1,train\nb.png,0,odd\n"), HasSubstr("row 2: 'odd' is no split"));
    EXPECT_THAT(error("a.png,1,test\n"), HasSubstr("lists no train images"));
    EXPECT_THAT(error("a.png,1000000000,train\n"), HasSubstr("labels that are numbers count from 0"));
    EXPECT_THAT(error("a.png,1,train\n"), HasSubstr(folder.path("a.png")));
}

// --- transforms of datasets that are in memory

TEST(DatasetTransform, ResidentImagesAreTransformedOnDemand) {
    const std::string source = "cifar10:" + golden_folder + "/cifar-10-batches-bin";
    const Dataset plain = load_dataset(source, Split::test);
    const Transform transform = parse_transform("resize=48,crop=40");
    const Dataset large = load_dataset(source, Split::test, {.transform = transform});
    EXPECT_EQ(large.height, 40);
    EXPECT_EQ(large.labels, plain.labels);
    const ImageBytes expected = apply(transform, {32, 32, plain.image_bytes(1)});
    EXPECT_EQ(large.image_bytes(1), expected.pixels);
    EXPECT_NE(large.hash(), plain.hash());
    EXPECT_EQ(large.hash(), load_dataset(source, Split::test, {.transform = transform}).hash());
    EXPECT_NE(large.hash(),
              load_dataset(source, Split::test, {.transform = parse_transform("resize=48,crop=41")}).hash());
    // Only files take a model's transform by themselves.
    EXPECT_EQ(load_dataset(source, Split::test, {.for_files = transform}).height, 32);
}

}  // namespace
}  // namespace lethe::test
