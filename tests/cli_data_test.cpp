// The command line with datasets of every kind: images of any size, and what is said about those that cannot be used.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/file.h"
#include "data/weights.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;
using Json = nlohmann::json;

const std::string golden_folder = LETHE_SOURCE_DIR "/tests/golden/datasets";

Arguments operator+(Arguments left, const Arguments& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

class CliData : public testing::Test {
protected:
    // A picture whose pixels follow from `seed`.
    void add(const std::string& file, int64_t width, int64_t height, unsigned seed) const {
        std::string text = concat("P6\n", width, ' ', height, "\n255\n");
        for (int64_t i = 0; i < width * height * 3; ++i) {
            seed = seed * 1664525 + 1013904223;
            text += static_cast<char>(seed >> 24);
        }
        fs::create_directories(fs::path(folder_.path(file)).parent_path());
        write_text(folder_.path(file), text);
    }
    // Two classes of four training and two test images, all of different sizes.
    void add_pets() const {
        for (const std::string pet : {"cat", "dog"})
            for (unsigned i = 0; i < 6; ++i)
                add(concat("pets/", i < 4 ? "train/" : "val/", pet, "/", i, ".ppm"), 30 + 7 * i, 50 - 3 * i,
                    i + (pet == "cat" ? 10 : 20));
    }
    ProgramResult lethe(const Arguments& arguments) const { return run_lethe(arguments, folder_.path()); }
    void expect_success(const Arguments& arguments) const {
        const ProgramResult result = lethe(arguments);
        EXPECT_EQ(result.code, 0) << result.err;
    }
    // One line on standard error that contains `text`, and exit code 1.
    void expect_refusal(const Arguments& arguments, const std::string& text) const {
        const ProgramResult result = lethe(arguments);
        EXPECT_EQ(result.code, 1) << result.out << result.err;
        EXPECT_THAT(result.err, AllOf(testing::StartsWith("lethe: "), HasSubstr(text)));
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    }
    Json json(const std::string& file) const { return Json::parse(read_text(folder_.path(file))); }
    std::string says(const std::string& key) const {
        return read_weights(folder_.path("run/weights.safetensors")).metadata.at("lethe." + key);
    }
    Arguments train(const std::string& data) const {
        return {"train", "--data", data, "--model", "resnet8", "--epochs", "1", "--out", "run"};
    }
    Arguments eval(const std::string& data) const {
        return {"eval", "--data", data, "--weights", "run/weights.safetensors", "--json", "eval.json"};
    }

    TemporaryFolder folder_;
};

TEST_F(CliData, TrainsOnImagesOfAnySizeAndLaterCommandsKnowHow) {
    add_pets();
    expect_success(train("folder:pets") + Arguments{"--image-size", "24"});
    EXPECT_EQ(says("image_size"), "24");
    EXPECT_EQ(says("transform"), "resize=27,bilinear,random-resized-crop=24,flip");
    expect_success(eval("folder:pets"));
    EXPECT_EQ(json("eval.json").at("loss"), json("run/results.json").at("test").at("loss"));
    expect_success(eval("folder:pets") + Arguments{"--transform", "resize=27,crop=24", "--cache-mib", "0"});
    EXPECT_EQ(json("eval.json").at("loss"), json("run/results.json").at("test").at("loss"));
    expect_success(eval("folder:pets") + Arguments{"--transform", "resize=24x24"});
    EXPECT_NE(json("eval.json").at("loss"), json("run/results.json").at("test").at("loss"));
    // Unlearned weights say it, too.
    const ProgramResult unlearned =
        lethe({"unlearn", "--data", "folder:pets", "--weights", "run/weights.safetensors", "--forget", "random:0:1",
               "--methods", "neggrad", "--max-steps", "1", "--out", "unlearned"});
    EXPECT_TRUE(unlearned.code == 0 || unlearned.code >= 3) << unlearned.err;
    EXPECT_EQ(read_weights(folder_.path("unlearned/neggrad/weights.safetensors")).metadata.at("lethe.transform"),
              says("transform"));
}

TEST_F(CliData, SlowALargeModelTakesFilesAsImageNetsModelsDo) {
    add_pets();
    Arguments command = train("folder:pets") + Arguments{"--model", "squeezenet1_1", "--augment=false"};
    expect_success(command);
    EXPECT_EQ(says("image_size"), "224");
    EXPECT_EQ(says("transform"), "resize=256,bilinear,random-resized-crop=224,flip");
}

TEST_F(CliData, SizesThatDoNotFitAreNamed) {
    add_pets();
    expect_refusal(train("folder:pets"), "a --transform such as resize=");
    expect_refusal(train("synthetic:0:16") + Arguments{"--image-size", "48"}, "--transform such as resize=48x48");
    expect_success(train("synthetic:0:16") + Arguments{"--image-size", "48", "--transform", "resize=48x48"});
    EXPECT_EQ(says("image_size"), "48");
    expect_refusal(train("synthetic:0:16") + Arguments{"--transform", "resize=7y"}, "resize=7y");
    expect_refusal(train("synthetic:0:16") + Arguments{"--cache-mib", "-1"}, "cache-mib");
    expect_refusal(train("synthetic:0:16") + Arguments{"--validation", "own"}, "no validation images of its own");
    expect_refusal(train("synthetic:0:16") + Arguments{"--validation", "some"}, "a share below 1, or own");
}

// The recipes for real datasets, each for one step on a few images in the dataset's format.
TEST_F(CliData, RecipesOfTheReferenceBegin) {
    const auto recipe = [&](const std::string& name, const std::string& data) {
        expect_success({"train", "--recipe", name, "--model", "resnet8", "--stem", "", "--epochs", "1", "--data", data,
                        "--out", "run"});
        fs::rename(folder_.path("run"), folder_.path(name));
        return json(name + "/results.json");
    };
    recipe("cifar10-resnet18", "cifar10:" + golden_folder + "/cifar-10-batches-bin");
    recipe("cifar100-resnet50", "cifar100:" + golden_folder + "/cifar-100-binary");
    for (int age = 3; age < 83; age += 4) add(concat("faces/", age, "_0_0.ppm"), 20, 20, static_cast<unsigned>(age));
    const Json faces = recipe("utkface-resnet18", "utkface:faces:TNN");
    EXPECT_EQ(faces.at("train").at("total"), 16);
    EXPECT_EQ(faces.at("validation").at("total"), 2);
    EXPECT_EQ(faces.at("test").at("total"), 2);
    const auto metadata = read_weights(folder_.path("utkface-resnet18/weights.safetensors")).metadata;
    EXPECT_EQ(metadata.at("lethe.transform"), "resize=128x128,bilinear,random-crop=120,flip");
    EXPECT_EQ(metadata.at("lethe.image_size"), "120");
    EXPECT_EQ(metadata.at("lethe.std"), "255,255,255");
    expect_success({"eval", "--weights", "utkface-resnet18/weights.safetensors", "--data", "utkface:faces:TNN",
                    "--split", "validation", "--json", "eval.json"});
    EXPECT_EQ(json("eval.json").at("loss"), faces.at("validation").at("loss"));
}

TEST_F(CliData, ImagesThatCannotBeReadFailOrAreLeftOut) {
    add_pets();
    write_text(folder_.path("pets/train/cat/2.ppm"), "P6\n30 30\n255\nshort");
    write_text(folder_.path("pets/val/dog/4.ppm"), "not a picture");
    const Arguments command = train("folder:pets") + Arguments{"--transform", "resize=24x24"};
    expect_refusal(command, "pets/train/cat/2.ppm");
    fs::remove_all(folder_.path("run"));
    const ProgramResult skipped = lethe(command + Arguments{"--corrupt", "skip"});
    EXPECT_EQ(skipped.code, 0) << skipped.err;
    EXPECT_THAT(skipped.err, AllOf(HasSubstr("left out: image: pets/train/cat/2.ppm"),
                                   HasSubstr("1 unreadable train image is left out, 7 remain"),
                                   HasSubstr("left out: image: pets/val/dog/4.ppm is not a JPEG, PNG, BMP or PPM file"),
                                   HasSubstr("1 unreadable test image is left out, 3 remain")));
    EXPECT_EQ(json("run/results.json").at("train").at("total"), 7);
    EXPECT_EQ(json("run/results.json").at("test").at("total"), 3);
    expect_refusal(eval("folder:pets"), "pets/val/dog/4.ppm");
    fs::remove(folder_.path("pets/val/dog/4.ppm"));
    fs::create_symlink("nowhere.ppm", folder_.path("pets/val/dog/4.ppm"));
    expect_refusal(eval("folder:pets"), "pets/val/dog/4.ppm");
}

TEST_F(CliData, FoldersThatCannotBeUsedAreNamed) {
    add_pets();
    expect_success(train("folder:pets") + Arguments{"--image-size", "24"});
    for (const char* kind : {"cifar10", "cifar100", "cifar-pickle", "folder", "imagenet", "utkface", "idx"}) {
        expect_refusal(eval(concat(kind, ":nowhere")), "there is no folder nowhere");
        expect_refusal(eval(kind), concat("write ", kind, ":DIR"));
    }
    expect_refusal(eval("csv:nowhere.csv"), "nowhere.csv");
    fs::create_directories(folder_.path("pets/train/emu"));
    expect_refusal(train("folder:pets"), "pets/train/emu holds no images");
    fs::remove_all(folder_.path("pets/val"));
    expect_refusal(eval("folder:pets"), "there is no folder pets/test");
}

TEST_F(CliData, ClassesThatDoNotMatchTheWeightsAreCounted) {
    expect_success(train("synthetic:0:16"));
    add_pets();
    const Arguments data{"--data",      "folder:pets", "--weights", "run/weights.safetensors",
                         "--transform", "resize=32x32"};
    for (const char* command : {"eval", "attack", "importance", "unlearn"}) {
        expect_refusal(Arguments{command} + data,
                       "folder:pets has 2 classes, the model of run/weights.safetensors has 10");
    }
}

}  // namespace
}  // namespace lethe::test
