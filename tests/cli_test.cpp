// The command line: what every kind of bad input answers, and what the commands promise to each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "data/file.h"
#include "data/weights.h"
#include "nn/model.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tests/support/compare.h"
#include "tests/support/entries.h"
#include "tests/support/program.h"
#include "unlearn/method.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Arguments = std::vector<std::string>;

Arguments operator+(Arguments left, const Arguments& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// A folder with a trained (hardly) resnet8 and a CIFAR-10 of four records per file.
class Cli : public testing::Test {
protected:
    static void SetUpTestSuite() {
        shared_ = new TemporaryFolder;
        train_resnet8(shared_->path());
        weights_ = shared_->path("trained/weights.safetensors");
    }
    static void TearDownTestSuite() {
        delete shared_;
        shared_ = nullptr;
    }

    void SetUp() override {
        std::filesystem::create_directory(folder_.path("cifar"));
        for (const char* name :
             {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
            write_records(name, std::string(4 * 3073, '\1'));
    }

    void write_records(const std::string& name, const std::string& bytes) {
        std::ofstream(folder_.path("cifar/" + name + ".bin"), std::ios::binary) << bytes;
    }
    void write(const std::string& name, const std::string& bytes) {
        std::ofstream(folder_.path(name), std::ios::binary) << bytes;
    }
    ProgramResult lethe(const Arguments& arguments) { return run_lethe(arguments, folder_.path()); }

    // Ends with exit code 1 and exactly one line on standard error that contains `text`.
    void expect_refusal(const Arguments& arguments, const std::string& text) {
        const ProgramResult result = lethe(arguments);
        EXPECT_EQ(result.code, 1) << result.out << result.err;
        EXPECT_THAT(result.err, AllOf(testing::StartsWith("lethe: "), HasSubstr(text)));
        EXPECT_THAT(result.err, Not(HasSubstr("terminate")));
    }
    Arguments eval(const std::string& weights) const {
        return {"eval", "--data", "synthetic:0:64:64", "--weights", weights};
    }
    Arguments unlearn() const {
        return {"unlearn", "--data", "synthetic:0:64:64", "--weights", weights_, "--out", "run",
                "--steps", "2",      "--max-steps",       "2"};
    }

    static TemporaryFolder* shared_;
    static std::string weights_;
    TemporaryFolder folder_;
};

TemporaryFolder* Cli::shared_ = nullptr;
std::string Cli::weights_;

TEST_F(Cli, HelpShowsDefaultsAndAnExample) {
    for (const char* command : {"train", "eval", "attack", "importance", "unlearn", "continual", "audit", "measure",
                                "report", "experiment", "methods", "inspect", "convert"}) {
        const ProgramResult result = lethe({command, "--help"});
        EXPECT_EQ(result.code, 0);
        EXPECT_THAT(result.out, AllOf(HasSubstr("--threads INT=0"), HasSubstr("Example:"), HasSubstr("--config")));
    }
}

TEST_F(Cli, AnUnknownCommandOrOptionIsAUsageError) {
    EXPECT_EQ(lethe({"forget"}).code, 2);
    EXPECT_EQ(lethe({}).code, 2);
    EXPECT_EQ(lethe({"eval", "--weights", weights_, "--colour", "red"}).code, 2);
    EXPECT_EQ(lethe({"eval", "--weights", weights_, "--threads", "two"}).code, 2);
}

TEST_F(Cli, BadCifarFiles) {
    const Arguments command{"eval", "--weights", weights_, "--data", "cifar10:cifar"};
    EXPECT_EQ(lethe(command).code, 0);
    write_records("test_batch", std::string(3 * 3073 + 5, '\1'));
    expect_refusal(command, "3073");
    write_records("test_batch", std::string(3073, '\1') + std::string(3073, '\12'));
    expect_refusal(command, "label 10");
    std::filesystem::remove(folder_.path("cifar/test_batch.bin"));
    expect_refusal(command, "test_batch.bin");
    expect_refusal({"eval", "--weights", weights_, "--data", "cifar10:nowhere"}, "nowhere");
    expect_refusal({"eval", "--weights", weights_, "--data", "mnist:x"}, "mnist");
}

TEST_F(Cli, BadWeightFiles) {
    const std::string good = read_text(weights_);
    write("truncated", good.substr(0, good.size() / 2));
    expect_refusal(eval("truncated"), "truncated");
    write("magic", "this is not a weight file at all");
    expect_refusal(eval("magic"), "magic");
    expect_refusal(eval("nowhere.pt"), "nowhere.pt");
    std::string absurd = good;
    absurd.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f");
    write("absurd", absurd);
    expect_refusal(eval("absurd"), "absurd");
    const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                               R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
    write("overlap",
          std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header + std::string(12, 0));
    expect_refusal(eval("overlap"), "overlap");
}

TEST_F(Cli, AHostilePickleIsRefusedAndNothingRuns) {
    const std::filesystem::path golden = std::filesystem::path(LETHE_SOURCE_DIR) / "tests/golden/weights";
    for (const char* file : {"hostile.legacy.pt", "hostile.zip.pt"}) {
        const auto entries = std::distance(std::filesystem::directory_iterator(folder_.path()), {});
        expect_refusal({"inspect", (golden / file).string()}, "system");
        // the only new files are the captured output of the first run
        EXPECT_LE(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), entries + 2);
    }
}

TEST_F(Cli, HostileModelFoldersEndInOneSentence) {
    std::filesystem::create_directory(folder_.path("model"));
    const auto refused = [&](const std::string& index, const std::string& said) {
        write("model/model.safetensors.index.json", index);
        expect_refusal({"inspect", "model"}, said);
        expect_refusal({"convert", "--weights", "model", "--out", "out.pt"}, said);
        EXPECT_FALSE(std::filesystem::exists(folder_.path("out.pt")));
    };
    refused(R"({"weight_map": {"w": "../../secret"}})", "not the plain name of a file beside it");
    refused(R"({"weight_map": )" + std::string(1'000'000, '['), "its JSON is nested too deeply");
}

TEST_F(Cli, WeightsThatDoNotFitAreListedByName) {
    expect_refusal(eval(weights_) + Arguments{"--model", "resnet20"}, "resnet8");
    expect_refusal(eval(weights_) + Arguments{"--classes", "7"}, "--classes");
    expect_refusal(eval(weights_) + Arguments{"--normalize", "imagenet"}, "--normalize");
    expect_refusal(eval(weights_) + Arguments{"--normalize", "grey"}, "grey");
    WeightFile file = read_weights(weights_);
    write_safetensors(folder_.path("plain"), file.entries);
    expect_refusal(eval("plain"), "--model");
    expect_refusal(eval("plain") + Arguments{"--model", "resnet8", "--classes", "7"}, "linear.weight");
    StateDict state = file.state();
    state[0].second.mutable_data()[3] = std::numeric_limits<float>::quiet_NaN();
    write_safetensors(folder_.path("changed"), state, file.metadata);
    expect_refusal(eval("changed"), "its tensors are not those it was written with");
    write_weights(folder_.path("nan"), state, file.metadata);
    expect_refusal(eval("nan"), "NaN");
}

TEST_F(Cli, UnknownNamesAreAnsweredWithTheKnownOnes) {
    expect_refusal({"train", "--data", "synthetic:0:64:64", "--model", "vgg"}, "resnet20");
    expect_refusal({"train", "--data", "synthetic:0:64:64", "--recipe", "quick"}, "cifar100-resnet50");
    expect_refusal({"train", "--data", "synthetic:0:64:64", "--schedule", "steps"}, "onecycle");
    expect_refusal(unlearn() + Arguments{"--methods", "neggrad,amnesia"}, "adv+imp");
    expect_refusal(unlearn() + Arguments{"--protocol", "strict"}, "recommended");
    expect_refusal(unlearn() + Arguments{"--switches", "magic=on"}, "bn-train-steps");
    expect_refusal(unlearn() + Arguments{"--switches", "decay-all=maybe"}, "decay-all");
    expect_refusal(unlearn() + Arguments{"--optimizer", "lion"}, "lion");
    expect_refusal(unlearn() + Arguments{"--norm", "l7"}, "linf");
    EXPECT_FALSE(std::filesystem::exists(folder_.path("run"))) << "a refused run left a directory";
}

TEST_F(Cli, ValuesOutOfRangeAreNamed) {
    expect_refusal(unlearn() + Arguments{"--eps", "-1"}, "eps");
    expect_refusal(unlearn() + Arguments{"--forget", "random:0:65"}, "65");
    expect_refusal(unlearn() + Arguments{"--forget", "random:0:0"}, "0");
    expect_refusal(unlearn() + Arguments{"--forget", "class:cat"}, "disc");
    expect_refusal(unlearn() + Arguments{"--lr", "-0.5"}, "lr");
    expect_refusal(unlearn() + Arguments{"--max-steps", "0"}, "max_steps");
    expect_refusal(unlearn() + Arguments{"--repeats", "0"}, "1");
    expect_refusal({"eval", "--weights", weights_, "--data", "synthetic", "--threads", "-3"}, "thread");
    const Arguments train{"train", "--data", "synthetic:0:64:64", "--model", "resnet8", "--out", "run"};
    expect_refusal(train + Arguments{"--validation", "64"}, "1 to 63");
    expect_refusal(train + Arguments{"--validation", "2.5"}, "whole number");
    expect_refusal(train + Arguments{"--no-decay", "pos_embedding"}, "'pos_embedding'");
    expect_refusal(train + Arguments{"--clip-norm", "1", "--clip-value", "1"}, "exclude");
    EXPECT_FALSE(std::filesystem::exists(folder_.path("run"))) << "a refused run left a directory";
}

TEST_F(Cli, EveryOptionOfTrainingIsDocumented) {
    const std::string help = lethe({"train", "--help"}).out;
    const std::string page = read_text(std::filesystem::path(LETHE_SOURCE_DIR) / "docs/training.md");
    static const std::regex option(R"(\n +(--[a-z][a-z0-9-]+))");
    int found = 0;
    for (std::sregex_iterator at(help.begin(), help.end(), option), end; at != end; ++at, ++found)
        EXPECT_THAT(page, HasSubstr("`" + at->str(1)));
    EXPECT_GT(found, 30);
}

// What a recipe says holds unless the command line says otherwise; the best weights are kept where it says so.
TEST_F(Cli, ARecipeIsAListOfOptions) {
    const Arguments few{"--data",  "synthetic:0:64:64", "--epochs", "2", "--batch-size", "32",
                        "--model", "resnet8",           "--stem",   "",  "--validation", "16",
                        "--out"};
    ASSERT_EQ(lethe(Arguments{"train", "--recipe", "utkface-resnet18"} + few + Arguments{"run"}).code, 0);
    const auto config = nlohmann::json::parse(read_text(folder_.path("run/config.json")));
    EXPECT_EQ(config.at("recipe"), "utkface-resnet18");
    EXPECT_EQ(config.at("optimizer"), "adam");
    EXPECT_EQ(config.at("clip-value"), 0.1);
    EXPECT_EQ(config.at("schedule"), "onecycle");
    EXPECT_EQ(config.at("epochs"), 2);
    EXPECT_EQ(sha256_file(folder_.path("run/weights.safetensors")), sha256_file(folder_.path("run/best.safetensors")));
    const auto results = nlohmann::json::parse(read_text(folder_.path("run/results.json")));
    EXPECT_EQ(results.at("best").at("chosen_by"), "validation");
    EXPECT_EQ(results.at("best").at("accuracy"), results.at("validation").at("accuracy"));
    EXPECT_EQ(results.at("train").at("total"), 48);
    ASSERT_EQ(lethe({"train", "--config", "run/config.json", "--out", "again", "--keep", "last"}).code, 0);
    EXPECT_EQ(sha256_file(folder_.path("run/best.safetensors")), sha256_file(folder_.path("again/best.safetensors")));
}

TEST_F(Cli, AConfigurationFileIsCheckedAndTheCommandLineWins) {
    write("good.json", R"({"command": "eval", "data": "synthetic:0:64:64", "split": "train", "per-class": true})");
    const Arguments command{"eval", "--weights", weights_, "--config", "good.json", "--json", "result.json"};
    ASSERT_EQ(lethe(command).code, 0);
    EXPECT_THAT(read_text(folder_.path("result.json")), HasSubstr("\"total\": 64"));
    EXPECT_THAT(lethe(command).out, HasSubstr("disc"));
    ASSERT_EQ(lethe(command + Arguments{"--split", "test"}).code, 0);
    EXPECT_THAT(read_text(folder_.path("result.json")), HasSubstr("\"split\": \"test\""));
    write("unknown.json", R"({"epocs": 3})");
    expect_refusal({"train", "--data", "synthetic:0:64:64", "--config", "unknown.json"}, "epocs");
    write("broken.json", "{");
    expect_refusal({"train", "--config", "broken.json"}, "broken.json");
    expect_refusal({"train", "--config", "good.json"}, "eval");
    expect_refusal({"train", "--config", "nowhere.json"}, "nowhere.json");
}

TEST_F(Cli, OutputThatCannotBeWritten) {
    write("occupied", "a file");
    expect_refusal({"train", "--data", "synthetic:0:64:64", "--model", "resnet8", "--epochs", "1", "--out", "occupied"},
                   "occupied");
    std::filesystem::create_directory(folder_.path("strangers"));
    write("strangers/thesis.txt", "years of work");
    expect_refusal(unlearn() + Arguments{"--out", "strangers"}, "strangers");
    EXPECT_EQ(read_text(folder_.path("strangers/thesis.txt")), "years of work");
    expect_refusal({"convert", "--weights", weights_, "--out", "no/such/folder/x.safetensors"}, "no/such/folder");
}

TEST_F(Cli, AFullDiskLosesNothing) {
    std::filesystem::copy(weights_, folder_.path("old.safetensors"));
    const std::string before = read_text(folder_.path("old.safetensors"));
    const ProgramResult result =
        run_lethe({"convert", "--weights", weights_, "--out", "old.safetensors"}, folder_.path(), -1, 20000);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr("old.safetensors"));
    EXPECT_EQ(read_text(folder_.path("old.safetensors")), before);
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
        EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("tmp")));
}

TEST_F(Cli, CudaWithoutAGpuSaysWhatIsMissing) {
    try {
        backend(Device::cuda);
        GTEST_SKIP() << "this machine has a GPU";
    } catch (const Error&) {
        expect_refusal(eval(weights_) + Arguments{"--device", "cuda"}, "device cuda: ");
    }
}

TEST_F(Cli, TheCpuRefusesLowPrecision) {
    expect_refusal(eval(weights_) + Arguments{"--device", "cpu", "--precision", "bf16"}, "precision bf16 needs a GPU");
}

TEST_F(Cli, TheEmulatedDeviceGivesTheSameLogits) {
    const Arguments few{"--select", "torch-randperm:0:3", "--split", "train", "--logits"};
    ASSERT_EQ(lethe(eval(weights_) + few + Arguments{"cpu.safetensors", "--device", "cpu"}).code, 0);
    ASSERT_EQ(lethe(eval(weights_) + few + Arguments{"emulated.safetensors", "--device", "emulated"}).code, 0);
    const auto logits = [&](const char* file) { return read_weights(folder_.path(file)).state().at(0).second; };
    EXPECT_TRUE(close(logits("emulated.safetensors"), logits("cpu.safetensors"), network));
}

TEST_F(Cli, ARunIsContinuedOnlyWithTheSameSettings) {
    const ProgramResult first = lethe(unlearn() + Arguments{"--methods", "neggrad"});
    ASSERT_TRUE(first.code == 0 || first.code == 3 || first.code == 4) << first.err;
    EXPECT_EQ(lethe(unlearn() + Arguments{"--methods", "neggrad", "--threads", "1"}).code, first.code);
    expect_refusal(unlearn() + Arguments{"--methods", "neggrad", "--lr", "0.5"}, "lr");
}

TEST_F(Cli, WithoutMethodsItIsTheRecommendedOne) {
    const Arguments few{"--forget", "random:0:2", "--repeats", "1", "--inverted", "10", "--inversion-steps", "1"};
    const ProgramResult result = lethe(unlearn() + few);
    ASSERT_TRUE(result.code == 0 || result.code == 3 || result.code == 4) << result.err;
    EXPECT_THAT(read_text(folder_.path("run/config.json")), HasSubstr("\"methods\": \"distill+views\""));
    EXPECT_THAT(read_text(folder_.path("run/results.csv")),
                AllOf(HasSubstr("\ndistill+views,"), Not(HasSubstr("adv"))));
    EXPECT_EQ(lethe(unlearn() + few + Arguments{"--methods", "distill+views"}).code, result.code) << "the same run";
}

TEST_F(Cli, ARunDirectoryHoldsWhatTheGuideSays) {
    const ProgramResult result = lethe(unlearn() + Arguments{"--methods", "neggrad,adv+imp", "--repeats", "2"});
    ASSERT_TRUE(result.code == 0 || result.code == 3 || result.code == 4) << result.err;
    for (const char* file : {"config.json", "environment.json", "inputs.json", "forget_set.json", "before.json",
                             "adversarial.safetensors", "attack.json", "attack.png", "importance.safetensors",
                             "importance.json", "adv+imp/trace.jsonl", "adv+imp/weights.safetensors",
                             "adv+imp/result.json", "trace.png", "results.json", "results.csv", "results.png"})
        EXPECT_TRUE(std::filesystem::exists(folder_.path(std::string("run/") + file))) << file;
    const std::string json = read_text(folder_.path("run/results.json"));
    for (const char* key : {"method", "D_f", "D_r", "D_test", "reemergence", "verdict", "steps", "seconds"})
        EXPECT_THAT(json, HasSubstr(std::string("\"") + key + "\""));
    EXPECT_EQ(lethe(eval("run/adv+imp/weights.safetensors")).code, 0);
}

TEST_F(Cli, MethodsAreListedWithWhatTheyLookAt) {
    const ProgramResult listed = lethe({"methods", "--json", "methods.json"});
    EXPECT_EQ(listed.code, 0) << listed.err;
    EXPECT_THAT(listed.out, AllOf(HasSubstr("neggrad\n  formula"), HasSubstr("needs    D_f + D_r")));
    const nlohmann::json json = nlohmann::json::parse(read_text(folder_.path("methods.json"))).at("methods");
    ASSERT_EQ(json.size(), methods().size());
    for (std::size_t i = 0; i < json.size(); ++i) {
        EXPECT_EQ(json[i].at("name"), methods()[i].name);
        EXPECT_EQ(json[i].at("needs"), methods()[i].data);
    }
    const ProgramResult one = lethe({"methods", "scrub"});
    EXPECT_THAT(one.out, AllOf(HasSubstr("Kurmanji"), Not(HasSubstr("neggrad"))));
    expect_refusal({"methods", "scrubs"}, "unknown name 'scrubs'; known ones are neggrad, adv");
}

// What looked at D_r is marked, and needs some of it.
TEST_F(Cli, RetainedImagesAreSaidAndNeeded) {
    const ProgramResult run =
        lethe(unlearn() + Arguments{"--methods", "random-label,ssd", "--retain-train-limit", "8"});
    ASSERT_TRUE(run.code == 0 || run.code == 3 || run.code == 4) << run.err;
    EXPECT_THAT(run.out, HasSubstr("Looked at D_r, which the others did not: ssd."));
    const nlohmann::json results = nlohmann::json::parse(read_text(folder_.path("run/results.json")));
    EXPECT_EQ(results.at(0).at("data"), "");
    EXPECT_EQ(results.at(1).at("data"), "D_f");
    EXPECT_EQ(results.at(2).at("data"), "D_f + D_r");
    EXPECT_EQ(nlohmann::json::parse(read_text(folder_.path("run/config.json"))).at("retain-train-limit"), 8);
    std::string all;
    for (int i = 0; i < 64; ++i) all += std::to_string(i) + "\n";
    write("all", all);
    const Arguments everything{"--forget", "indices:all", "--out", "none"};
    expect_refusal(unlearn() + everything + Arguments{"--methods", "neggrad,ssd"},
                   "method ssd looks at D_r, and every training image is to be forgotten");
    EXPECT_FALSE(std::filesystem::exists(folder_.path("none/before.json")));
}

TEST_F(Cli, RetrainingLeavesTheForgottenOut) {
    const Arguments train{"train", "--data", "synthetic:0:64:64", "--model", "resnet8", "--epochs", "1",
                          "--out", "again"};
    ASSERT_EQ(lethe(train + Arguments{"--exclude", "random:0:24", "--validation", "0.5"}).code, 0);
    const WeightFile weights = read_weights(folder_.path("again/weights.safetensors"));
    EXPECT_EQ(weights.metadata.at("lethe.trained_without"), "random:0:24");
    // Half of 64 are held out, whoever is excluded; 24 of 64 are neither.
    const nlohmann::json results = nlohmann::json::parse(read_text(folder_.path("again/results.json")));
    const std::string all = results.dump();
    const std::string trained = weights.metadata.at("lethe.trained_images");
    EXPECT_LT(std::stoi(trained), 32) << trained;
    EXPECT_GT(std::stoi(trained), 8) << trained;
    expect_refusal(train + Arguments{"--exclude", "misclassified:3"}, "no model yet");
    expect_refusal(train + Arguments{"--exclude", "random:0:64"}, "leaves no image to train on");
}

TEST_F(Cli, ConvertedWeightsGiveTheSameLogitsForAnyThreadCount) {
    ASSERT_EQ(lethe({"convert", "--weights", weights_, "--out", "copy.safetensors"}).code, 0);
    ASSERT_EQ(lethe(eval(weights_) + Arguments{"--threads", "1", "--logits", "one"}).code, 0);
    ASSERT_EQ(lethe(eval("copy.safetensors") + Arguments{"--threads", "2", "--logits", "two"}).code, 0);
    EXPECT_EQ(sha256_file(folder_.path("one")), sha256_file(folder_.path("two")));
}

// In a file as PyTorch reads it, under the names and in the types of the file that it came from.
TEST_F(Cli, UnlearnedWeightsAreWrittenLikeTheOriginal) {
    StoredState original;
    for (const auto& [name, tensor] : read_weights(weights_).state()) {
        const bool counter = tensor.dtype() == DType::int64;
        original.emplace_back("module." + name,
                              to_stored(tensor, element_info(counter ? Element::int32 : Element::float64)));
    }
    write_weights(folder_.path("original.pt"), original, {});
    const Arguments plain{"--model", "resnet8", "--normalize", "cifar10"};
    const ProgramResult run =
        lethe(Arguments{"unlearn", "--weights", "original.pt", "--data", "synthetic:0:64:64", "--forget", "random:0:4",
                        "--methods", "neggrad", "--stop-margin", "1000", "--max-steps", "2", "--out", "run"} +
              plain);
    ASSERT_TRUE(run.code == 0 || run.code == 3 || run.code == 4) << run.err;
    const Arguments convert{"convert", "--weights", "run/neggrad/weights.safetensors"};
    ASSERT_EQ(lethe(convert + Arguments{"--like", "original.pt", "--out", "new.pt"}).code, 0);
    const WeightFile edited = read_weights(folder_.path("run/neggrad/weights.safetensors"));
    const WeightFile written = read_weights(folder_.path("new.pt"));
    EXPECT_EQ(written.format, "pytorch-zip");
    ASSERT_EQ(written.entries.size(), original.size());
    bool changed = false;
    for (std::size_t i = 0; i < original.size(); ++i) {
        const auto& [name, tensor] = written.entries[i];
        EXPECT_EQ(name, original[i].first);
        EXPECT_EQ(tensor.element, original[i].second.element) << name;
        EXPECT_TRUE(identical(to_tensor(tensor), edited.state()[i].second)) << name;
        changed |= tensor.bytes != original[i].second.bytes;
    }
    EXPECT_TRUE(changed) << "two steps of NegGrad moved nothing";
    EXPECT_EQ(lethe(eval("new.pt")).code, 0) << "the manifest travels in it";

    expect_refusal(convert + Arguments{"--like", "cifar/test_batch.bin", "--out", "x.pt"}, "test_batch.bin");
    expect_refusal(convert + Arguments{"--naming", "german", "--out", "x.pt"}, "german");
    expect_refusal(convert + Arguments{"--naming", "own", "--like", "original.pt", "--out", "x.pt"}, "--naming");
    expect_refusal(convert + Arguments{"--out", "x.onnx"}, ".onnx");
    EXPECT_FALSE(std::filesystem::exists(folder_.path("x.pt")));
}

std::vector<std::string> names_of(const StoredState& entries) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : entries) names.push_back(name);
    std::sort(names.begin(), names.end());
    return names;
}

// Two namings may have names in common: one of them does not make a file of the other kind.
TEST_F(Cli, ConvertChangesNamesAndBack) {
    const Model model({.arch = "densenet121", .classes = 2}, 3);
    const StoredState published = to_stored(state_under(model, "torchvision-2017"));
    write_weights(folder_.path("published.pth"), published, {});
    const Arguments to_own{"convert", "--weights", "published.pth", "--model", "densenet121",    "--classes",
                           "2",       "--naming",  "own",           "--out",   "own.safetensors"};
    const ProgramResult own = lethe(to_own);
    ASSERT_EQ(own.code, 0) << own.err;
    EXPECT_EQ(names_of(read_weights(folder_.path("own.safetensors")).entries), names_of(to_stored(model.state())));

    const Arguments back{"convert", "--weights", "own.safetensors"};
    const ProgramResult named = lethe(back + Arguments{"--out", "back.pth"});  // the manifest knows the first names
    ASSERT_EQ(named.code, 0) << named.err;
    expect_same_entries(read_weights(folder_.path("back.pth")).entries, published);
    const ProgramResult like =
        lethe(Arguments{"convert", "--weights", "back.pth", "--like", "own.safetensors", "--out", "like.pth"});
    ASSERT_EQ(like.code, 0) << like.err;
    EXPECT_EQ(names_of(read_weights(folder_.path("like.pth")).entries), names_of(to_stored(model.state())));
}

TEST_F(Cli, ConvertRefusesWhatOnlyAModelCanUse) {
    write_weights(folder_.path("plain.pt"), to_stored(Model({.arch = "resnet8"}, 1).state()), {});
    for (const Arguments& option : {Arguments{"--normalize", "imagenet"}, Arguments{"--classes", "10"},
                                    Arguments{"--image-size", "64"}, Arguments{"--transform", "crop=32"}})
        expect_refusal(Arguments{"convert", "--weights", "plain.pt", "--out", "x.pt"} + option, "give --model");
}

TEST_F(Cli, InspectSummarisesIntegers) {
    write_weights(folder_.path("counts.pt"),
                  StoredState{{"n", to_stored(Tensor::from_int64({1}, std::vector<int64_t>{5005}))}}, {});
    const ProgramResult result = lethe({"inspect", "counts.pt"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("max       5005"));
}

TEST_F(Cli, ErrorsShowNoControlCharactersOfAFile) {
    write_weights(folder_.path("evil.safetensors"), to_stored(Model({.arch = "resnet8"}, 1).state()),
                  {{"lethe.arch", "\033[2Jresnet8"}});
    const ProgramResult result = lethe({"eval", "--weights", "evil.safetensors", "--data", "synthetic:0:64:64"});
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr("resnet8"), Not(HasSubstr("\033"))));
}

TEST_F(Cli, ConvertOnAFullDiskLosesNothing) {
    for (const char* out : {"new.pt", "new.safetensors"}) {
        write(out, "old");
        const ProgramResult result =
            run_lethe({"convert", "--weights", weights_, "--out", out}, folder_.path(), -1, 100'000);
        EXPECT_EQ(result.code, 1);
        EXPECT_THAT(result.err, HasSubstr(out));
        EXPECT_EQ(read_text(folder_.path(out)), "old");
    }
    expect_refusal({"convert", "--weights", weights_, "--out", "/dev/full"}, "/dev/full");
}

class PublishedCheckpoint : public testing::TestWithParam<std::tuple<const char*, const char*, int>> {};

TEST_P(PublishedCheckpoint, SlowHasItsPublishedAccuracy) {
    const auto [arch, file, correct] = GetParam();
    const std::string weights = shared_path(std::string("weights/") + file);
    const std::string cifar = shared_path("data/cifar-10-batches-bin");
    if (weights.empty() || cifar.empty()) GTEST_SKIP() << "needs " << file << " and CIFAR-10 in $LETHE_SHARED";
    const TemporaryFolder folder;
    ASSERT_EQ(run_lethe({"convert", "--weights", weights, "--model", arch, "--normalize", "imagenet", "--out", "own"},
                        folder.path())
                  .code,
              0);
    const Arguments command{"eval", "--data", "cifar10:" + cifar};
    const ProgramResult native = run_lethe(command + Arguments{"--weights", weights, "--model", arch, "--normalize",
                                                               "imagenet", "--threads", "1", "--logits", "one"},
                                           folder.path());
    const ProgramResult own =
        run_lethe(command + Arguments{"--weights", "own", "--threads", "2", "--logits", "two"}, folder.path());
    const std::string count = "(" + std::to_string(correct) + " of 10000)";
    EXPECT_THAT(native.out, HasSubstr(count));
    EXPECT_THAT(own.out, HasSubstr(count));
    EXPECT_EQ(sha256_file(folder.path("one")), sha256_file(folder.path("two")));
}

INSTANTIATE_TEST_SUITE_P(All, PublishedCheckpoint,
                         testing::Values(std::tuple("resnet20", "resnet20-12fca82f.th", 9173),
                                         std::tuple("resnet32", "resnet32-d509ac18.th", 9263)),
                         [](const auto& tested) { return std::string(std::get<0>(tested.param)); });

}  // namespace
}  // namespace lethe::test
