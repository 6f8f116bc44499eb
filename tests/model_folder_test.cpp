// Folders of weights and settings as Hugging Face and timm lay them out.
#include "data/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "data/file.h"
#include "data/pytorch.h"
#include "tensor/error.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

std::span<const uint8_t> bytes_of(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

StoredTensor number(float value) {
    StoredTensor tensor{&element_info(Element::float32), {1}, std::vector<uint8_t>(4)};
    std::memcpy(tensor.bytes.data(), &value, 4);
    return tensor;
}

class ModelFolder : public testing::Test {
protected:
    void shard(const std::string& name, const std::vector<std::string>& entries) {
        StoredState state;
        for (const std::string& entry : entries) state.emplace_back(entry, number(static_cast<float>(state.size())));
        write_weights(folder_.path(name), state, {});
    }
    void index(const std::string& name, const std::string& map) {
        write_text(folder_.path(name), R"({"metadata": {"total_size": 12}, "weight_map": {)" + map + "}}");
    }
    std::string refusal() {
        return error_of([&] { read_weights(folder_.path()); });
    }

    TemporaryFolder folder_;
};

TEST_F(ModelFolder, OneFileWithItsSettings) {
    shard("pytorch_model.bin", {"old"});
    shard("model.safetensors", {"w", "b"});
    write_text(folder_.path("config.json"),
               R"({"model_type": "resnet", "id2label": {"0": "cat", "1": "dog"}, "image_size": 64, "label2id": null})");
    write_text(folder_.path("preprocessor_config.json"),
               R"({"image_mean": [0.5, 0.25, 0], "image_std": [1, 0.5, 0.125], "size": {"shortest_edge": 32}})");
    const WeightFile file = read_weights(folder_.path());
    EXPECT_EQ(file.format, "folder");
    ASSERT_EQ(file.entries.size(), 2u);
    EXPECT_EQ(file.entries[0].first, "w");
    Metadata expected{{"huggingface.model_type", "resnet"},
                      {"lethe.class_names", R"(["cat","dog"])"},
                      {"lethe.classes", "2"},
                      {"lethe.image_size", "64"},
                      {"lethe.mean", "0.5,0.25,0"},
                      {"lethe.std", "1,0.5,0.125"}};
    expected["lethe.tensors_sha256"] = entries_sha256(file.entries);
    EXPECT_EQ(file.metadata, expected);
    EXPECT_EQ(file.sha256, entries_sha256(file.entries));
}

TEST_F(ModelFolder, TheManifestComesFirst) {
    write_weights(folder_.path("model.safetensors"), StoredState{{"w", number(1)}},
                  {{"lethe.arch", "resnet8"}, {"lethe.classes", "2"}, {"lethe.image_size", "48"}});
    write_text(folder_.path("config.json"), R"({"id2label": {"0": "cat", "1": "dog"}, "image_size": 64})");
    const Metadata metadata = read_weights(folder_.path()).metadata;
    EXPECT_EQ(metadata.at("lethe.image_size"), "48");
    EXPECT_EQ(metadata.at("lethe.class_names"), R"(["cat","dog"])");
    write_text(folder_.path("config.json"), R"({"num_classes": 3})");
    EXPECT_THAT(refusal(), HasSubstr("config.json: says 3 classes, the manifest of the weights beside it says 2"));
}

TEST_F(ModelFolder, ShardsInBothFormats) {
    for (const std::string ending : {".bin", ".safetensors"}) {
        const std::string stem = ending == ".bin" ? "pytorch_model" : "model";
        shard(stem + "-00001-of-00002" + ending, {"z", "y"});
        shard(stem + "-00002-of-00002" + ending, {"x"});
        const std::string first = stem + "-00001-of-00002" + ending, second = stem + "-00002-of-00002" + ending;
        index(stem + ending + ".index.json",
              R"("x": ")" + second + R"(", "y": ")" + first + R"(", "z": ")" + first + R"(")");
        const WeightFile file = read_weights(folder_.path());
        ASSERT_EQ(file.entries.size(), 3u);
        EXPECT_EQ(file.entries[0].first, "z");
        EXPECT_EQ(file.entries[1].first, "y");
        EXPECT_EQ(file.entries[2].first, "x");
        EXPECT_EQ(file.entries[1].second.bytes, number(1).bytes);
    }
}

TEST_F(ModelFolder, ShardsThatDoNotMatchTheIndex) {
    const std::string index_name = "model.safetensors.index.json";
    shard("a.safetensors", {"w", "v"});
    shard("b.safetensors", {"v"});
    index(index_name, R"("w": "a.safetensors", "v": "b.safetensors")");
    EXPECT_THAT(refusal(), HasSubstr("a.safetensors: holds 'v', which the index does not list for it"));
    index(index_name, R"("w": "a.safetensors", "v": "a.safetensors", "u": "b.safetensors")");
    EXPECT_THAT(refusal(), HasSubstr("b.safetensors: holds 'v', which a.safetensors holds too"));
    index(index_name, R"("w": "a.safetensors", "v": "a.safetensors", "u": "a.safetensors")");
    EXPECT_THAT(refusal(), HasSubstr("a.safetensors: does not hold 'u', which the index lists for it"));
    index(index_name, R"("w": "a.safetensors", "v": "a.safetensors", "u": "c.safetensors")");
    EXPECT_THAT(refusal(), HasSubstr("c.safetensors: cannot be read"));
    index(index_name, R"("w": "a.safetensors", "w": "b.safetensors")");
    EXPECT_THAT(refusal(), HasSubstr("index.json: its JSON has the name 'w' twice"));
    index(index_name, concat(R"("w": ")", std::string(300, 'a'), "\""));
    EXPECT_THAT(refusal(), HasSubstr("cannot be read (File name too long)"));
    std::filesystem::create_directory(folder_.path("d"));
    index(index_name, R"("w": "d")");
    EXPECT_THAT(refusal(), HasSubstr("d: is a folder, the index lists it as a shard"));
}

TEST_F(ModelFolder, ShardsLieBesideTheirIndex) {
    for (const char* name :
         {"../a.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", R"(a\\b)", R"(a\u0000)"}) {
        index("model.safetensors.index.json", R"("w": ")" + std::string(name) + R"(")");
        EXPECT_THAT(refusal(), HasSubstr("which is not the plain name of a file beside it")) << name;
    }
}

TEST_F(ModelFolder, FoldersOfOtherThings) {
    EXPECT_THAT(refusal(), HasSubstr("is a folder without model.safetensors, pytorch_model.bin"));
    write_text(folder_.path("model.safetensors.index.json"), "{}");
    EXPECT_THAT(refusal(), HasSubstr("index.json: has no 'weight_map'"));
    write_text(folder_.path("model.safetensors.index.json"), R"({"weight_map": {"w": 3}})");
    EXPECT_THAT(refusal(), HasSubstr("the shard of 'w' is not a text"));
    write_text(folder_.path("model.safetensors.index.json"), "[1");
    EXPECT_THAT(refusal(), HasSubstr("its JSON is not valid JSON"));
    shard("model.safetensors", {"w"});
    write_text(folder_.path("config.json"), R"({"image_size": "large"})");
    EXPECT_THAT(refusal(), HasSubstr("config.json: 'image_size' is not a whole number from 1 to 16384"));
    std::filesystem::resize_file(folder_.path("config.json"), 65 << 20);
    EXPECT_THAT(refusal(), HasSubstr("config.json: has 68157440 bytes, at most 67108864 are read"));
}

TEST_F(ModelFolder, TimmsSettings) {
    EXPECT_EQ(parse_model_config(bytes_of(
                  R"({"architecture": "resnet18", "num_classes": 3, "pretrained_cfg":
                      {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 160, 160]}})")),
              (Metadata{{"lethe.arch", "resnet18"},
                        {"lethe.classes", "3"},
                        {"lethe.image_size", "160"},
                        {"lethe.mean", "0.100000001,0.200000003,0.300000012"},
                        {"lethe.std", "0.400000006,0.5,0.600000024"}}));
}

TEST_F(ModelFolder, Preprocessors) {
    EXPECT_EQ(parse_preprocessor_config(bytes_of(R"({"size": {"shortest_edge": 256}, "crop_size": 224})")),
              (Metadata{{"lethe.image_size", "224"}}));
    EXPECT_EQ(parse_preprocessor_config(bytes_of(R"({"size": {"height": 32, "width": 32}})")),
              (Metadata{{"lethe.image_size", "32"}}));
    EXPECT_EQ(parse_preprocessor_config(
                  bytes_of(R"({"do_normalize": false, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]})")),
              (Metadata{{"lethe.mean", "0,0,0"}, {"lethe.std", "1,1,1"}}));
}

TEST_F(ModelFolder, SettingsThatMakeNoSense) {
    const auto model = [](const std::string& text) { return error_of([&] { parse_model_config(bytes_of(text)); }); };
    const auto images = [](const std::string& text) {
        return error_of([&] { parse_preprocessor_config(bytes_of(text)); });
    };
    EXPECT_THAT(model(R"({"num_classes": 0})"), HasSubstr("'num_classes' is not a whole number from 1 to 1000000"));
    EXPECT_THAT(model(R"({"num_classes": 9223372036854775808})"), HasSubstr("'num_classes' is not a whole number"));
    EXPECT_THAT(model(R"({"id2label": {"0": "a", "2": "b"}})"), HasSubstr("'id2label' has no name for class 1"));
    EXPECT_THAT(model(R"({"num_labels": 2, "id2label": {"0": "a"}})"), HasSubstr("2 classes, but 1 names"));
    EXPECT_THAT(model(R"({"image_size": [32, 64]})"), HasSubstr("'image_size' does not describe square images"));
    EXPECT_THAT(model(R"({"architecture": ["resnet18"]})"), HasSubstr("'architecture' is not a text"));
    EXPECT_THAT(images(R"({"size": {"height": 1, "width": 2}})"), HasSubstr("does not describe square images"));
    EXPECT_THAT(images(R"({"size": {}})"), HasSubstr("'size' has neither 'height' nor 'shortest_edge'"));
    EXPECT_THAT(images(R"({"do_rescale": false})"), HasSubstr("only images divided by 255"));
    EXPECT_THAT(images(R"({"rescale_factor": 0.0078})"), HasSubstr("'rescale_factor' is not 1/255"));
    EXPECT_EQ(parse_preprocessor_config(bytes_of(R"({"do_rescale": true, "rescale_factor": 0.00392156862745098})")),
              Metadata());
    EXPECT_THAT(images(R"({"image_mean": [0, 0, 0]})"), HasSubstr("'image_std' must both be given"));
    EXPECT_THAT(images(R"({"image_mean": [0, 0, 0], "image_std": [1, 0, 1]})"), HasSubstr("'image_std' holds"));
    EXPECT_THAT(images(R"({"image_mean": [0, 1e300, 0], "image_std": [1, 1, 1]})"), HasSubstr("'image_mean' holds"));
    EXPECT_THAT(images(R"({"image_mean": [0, 0], "image_std": [1, 1, 1]})"), HasSubstr("list of three numbers"));
}

}  // namespace
}  // namespace lethe::test
