// Sequences of forget requests and corrections: their parts by hand on a tiny network, both as a person runs them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/file.h"
#include "data/image_file.h"
#include "data/split.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"
#include "tests/support/tiny.h"
#include "unlearn/continual.h"

namespace lethe::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Arguments = std::vector<std::string>;

Arguments operator+(Arguments left, const Arguments& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// Six images that the tiny network takes for their label, but for numbers 1 and 4.
class TinySets : public testing::Test {
protected:
    static Dataset images_of(Split split) {
        Dataset data;
        data.split = split;
        data.height = data.width = tiny_side;
        data.class_names = {"a", "b", "c", "d", "e"};
        constexpr int64_t count = 6, bytes = 3 * tiny_side * tiny_side;
        const Random random(split == Split::train ? 5 : 6, Purpose::synthetic);
        for (int64_t i = 0; i < count * bytes; ++i)
            data.pixels.push_back(static_cast<uint8_t>(
                random.below(256, static_cast<uint64_t>(i / bytes), static_cast<uint32_t>(i % bytes))));
        data.labels.resize(count);
        return data;
    }
    void SetUp() override {
        for (Dataset* data : {&train, &test}) {
            data->labels = predictions(*model, data->images(std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
            for (const std::size_t wrong : {1, 4}) data->labels[wrong] = (data->labels[wrong] + 1) % tiny_classes;
        }
    }
    ForgetTask task_of(const Dataset& data, const std::vector<int64_t>& forget) const {
        ForgetTask task;
        task.images = data.images(forget);
        for (const int64_t image : forget) task.labels.push_back(data.labels[static_cast<std::size_t>(image)]);
        return task;
    }

    std::unique_ptr<Model> model = tiny_model();
    std::unique_ptr<Model> twin = fold_batchnorm(*model);
    Dataset train = images_of(Split::train), test = images_of(Split::test);
    RunOptions options;
};

// Which images a run looks at.

TEST_F(TinySets, WhatWasForgottenBeforeIsNotRetained) {
    EXPECT_THAT(run_sets(train, test, {2}, options).retain, ElementsAre(0, 1, 3, 4, 5));
    options.earlier = {5, 0};
    const RunSets sets = run_sets(train, test, {2}, options);
    EXPECT_EQ(&sets.source, &train);
    EXPECT_THAT(sets.retain, ElementsAre(1, 3, 4));
    EXPECT_THAT(sets.test, ElementsAre(0, 1, 2, 3, 4, 5));
    options.retain_limit = 1;
    EXPECT_THAT(run_sets(train, test, {2}, options).retain, ElementsAre(1));
}

TEST_F(TinySets, TestImagesThatAreCorrectedAreNotTested) {
    options.forget_split = Split::test;
    options.earlier = {3};
    const RunSets sets = run_sets(train, test, {4, 1}, options);
    EXPECT_EQ(&sets.source, &test);
    EXPECT_THAT(sets.retain, ElementsAre(0, 1, 2, 4, 5));
    EXPECT_THAT(sets.test, ElementsAre(0, 2, 3, 5));
    EXPECT_EQ(forget_set_json(sets.source, {4}).at("split"), "test");
}

// Corrections.

TEST_F(TinySets, ACorrectionLeavesWhatTheModelSaysForTheTrueLabel) {
    options.relabel = "true";
    const ForgetTask task = task_of(test, {4, 1});
    EXPECT_EQ(new_labels(*twin, test, task, options), task.labels);
    const std::vector<int64_t> said = predictions(*model, task.images);
    const auto views = views_of(predict(*twin, task.images), task.labels);
    EXPECT_EQ(labels_to_leave(views, task.labels, options), said);
    options.repeats = 40;
    const std::vector<int64_t> targets = attack_targets(said, tiny_classes, options);
    bool own_label = false;
    for (std::size_t i = 0; i < targets.size(); ++i) {
        EXPECT_NE(targets[i], said[i % 2]);
        own_label = own_label || targets[i] == task.labels[i % 2];
    }
    EXPECT_TRUE(own_label) << "an adversarial image of the true class does not contradict the correction";
    options.relabel = "random";
    EXPECT_EQ(labels_to_leave(views, task.labels, options), task.labels);
}

TEST_F(TinySets, OnlyWrongImagesAreCorrectedAndOnlyByRelabelling) {
    options.relabel = "true";
    EXPECT_THAT(error_of([&] {
                    new_labels(*twin, test, task_of(test, {4, 2}), options);
                }),
                AllOf(HasSubstr("image 1 of the forget set"), HasSubstr("misclassified")));
    options.methods = {"relabel", "neggrad"};
    EXPECT_THAT(error_of([&] { options.validate(); }), HasSubstr("method neggrad forgets"));
    options.methods = {"relabel", "relabel+adv+imp"};
    EXPECT_NO_THROW(options.validate());
    options.relabel = test.class_names[static_cast<std::size_t>(test.labels[2])];
    EXPECT_THAT(error_of([&] { new_labels(*twin, test, task_of(test, {2}), options); }), HasSubstr("as its new label"));
}

// Requests.

TEST(Continual, RequestsMustNotOverlap) {
    const std::vector<ForgetRequest> requests{{"1", "random:0:3", {7, 1, 4}}, {"2", "images:9", {9}}};
    EXPECT_NO_THROW(check_disjoint(requests));
    EXPECT_THAT(images_of(requests, 2), ElementsAre(7, 1, 4, 9));
    EXPECT_THAT(images_of(requests, 0), IsEmpty());
    std::vector<ForgetRequest> overlapping = requests;
    overlapping.push_back({"3", "class:cat:2", {0, 4}});
    EXPECT_THAT(error_of([&] { check_disjoint(overlapping); }),
                HasSubstr("image 4 is in request 1 (random:0:3) and in request 3 (class:cat:2)"));
    EXPECT_THAT(error_of([] { check_disjoint({{"1", "images:3,3", {3, 3}}}); }), HasSubstr("image 3 is in request 1"));
}

MethodResult result_with(const std::vector<int64_t>& wrong, Accuracy retain, Accuracy test) {
    MethodResult result;
    result.forget.wrong = wrong;
    result.retain.accuracy = retain;
    result.test.accuracy = test;
    return result;
}

// With --again a run's D_f is larger than its request.
TEST(Continual, ARequestCountsItsOwnImages) {
    const ForgetRequest request{"2", "images:8,3,5", {8, 3, 5}};
    MethodResult after = result_with({1, 3, 8}, {50, 60}, {7, 10});
    after.verdict = Verdict::forgotten;
    const RequestResult result = result_of(request, result_with({2, 5}, {55, 60}, {9, 10}), after);
    EXPECT_EQ(result.run, "requests/2");
    EXPECT_EQ(result.forget_before.correct, 2);
    EXPECT_EQ(result.forget_before.total, 3);
    EXPECT_THAT(result.own.recognised, ElementsAre(5));
    EXPECT_EQ(result.own.accuracy().total, 3);
    EXPECT_EQ(result.test.correct, 7);
    EXPECT_TRUE(result.finite);
    after.test.finite = false;
    EXPECT_FALSE(result_of(request, after, after).finite);
}

// A model that has lost the images, and the one before it, to which a later request might lead back.
TEST_F(TinySets, EarlierImagesThatComeBackAreSeen) {
    const ForgetRequest request{"1", "images:3,1,0", {3, 1, 0}};
    const std::unique_ptr<Model> lost = model->clone();
    for (auto& [name, tensor] : lost->state())
        if (name == "linear.weight" || name == "linear.bias")
            for (float& weight : std::span(tensor.mutable_data(), static_cast<std::size_t>(tensor.numel())))
                weight = -weight;
    const Recheck gone = look_again(*fold_batchnorm(*lost), train, request, 0);
    EXPECT_THAT(gone.recognised, Not(testing::Contains(testing::AnyOf(3, 0)))) << "the best class is the worst now";
    const Recheck back = look_again(*twin, train, request, 0);
    EXPECT_THAT(back.recognised, ElementsAre(3, 0));  // 1 never had its label
    EXPECT_EQ(back.total, 3);
    EXPECT_GT(back.reemergence, gone.reemergence);

    ContinualRecord record{.method = "neggrad", .retain_before = {9, 10}, .test_before = {8, 10}, .requests = {}};
    record.requests = {
        result_of(request, result_with({1}, {9, 10}, {8, 10}), result_with({0, 1, 3}, {9, 10}, {8, 10})),
        result_of({"2", "images:2", {2}}, result_with({}, {8, 10}, {7, 10}), result_with({2}, {8, 10}, {6, 10}))};
    record.requests[0].verdict = record.requests[1].verdict = Verdict::forgotten;
    record.requests[1].earlier = {back};
    EXPECT_THAT(continual_table(record),
                AllOf(HasSubstr("2/3 recognised"), HasSubstr("recognises again, of request 1: 3 0")));
    record.requests[1].earlier = {{.request = "1", .recognised = {}, .total = 3}};
    EXPECT_THAT(continual_table(record), AllOf(HasSubstr("0/3 recognised"), Not(HasSubstr("recognises again"))));
}

// What is written is read back, and the picture is darker the more images have come back.
TEST(Continual, TheRecordIsKeptAndDrawn) {
    ContinualRecord record{
        .method = "adv+imp", .again = true, .retain_before = {9, 10}, .test_before = {8, 10}, .requests = {}};
    record.requests = {
        result_of({"1", "images:1,2", {1, 2}}, result_with({}, {9, 10}, {8, 10}),
                  result_with({1, 2}, {8, 10}, {7, 10})),
        result_of({"2", "images:3", {3}}, result_with({}, {8, 10}, {7, 10}), result_with({3}, {8, 10}, {6, 10}))};
    record.requests[1].verdict = Verdict::diverged;
    record.requests[1].weights_sha256 = "abc";
    record.requests[1].earlier = {{.request = "1", .recognised = {2}, .total = 2, .reemergence = 0.25}};
    const Json json = to_json(record);
    EXPECT_EQ(Json::parse(json.dump()), Json::parse(to_json(record_from(Json::parse(json.dump()))).dump()));
    const Json& second = json.at("requests").at(1);
    EXPECT_EQ(second.at("run"), "requests/2");
    EXPECT_EQ(second.at("verdict"), "diverged");
    EXPECT_EQ(second.at("D_f").at("correct"), 0);
    EXPECT_EQ(second.at("earlier").at(0),
              Json({{"request", "1"}, {"correct", 1}, {"total", 2}, {"recognised", {2}}, {"reemergence", 0.25}}));
    EXPECT_EQ(second.at("D_test"), Json({{"correct", 6}, {"total", 10}}));

    const TemporaryFolder folder;
    const auto green_of_earlier = [&] {  // of the square of request 1 after request 2
        write_continual_picture(folder.path("p.png"), record);
        const ImageBytes image = read_image(folder.path("p.png"));
        const std::size_t x = 120 + 2 * 46 + 4, y = 92 + 4;
        return int{image.pixels.at((y * static_cast<std::size_t>(image.width) + x) * 3 + 1)};
    };
    EXPECT_EQ(green_of_earlier(), 175);  // 255 - (255 - 94) / 2, rounded
    record.requests[1].earlier[0].recognised = {};
    EXPECT_EQ(green_of_earlier(), 255);
    record.requests[1].earlier[0].recognised = {1, 2};
    EXPECT_EQ(green_of_earlier(), 94);
}

// As a person runs them.

class Scenarios : public testing::Test {
protected:
    static void SetUpTestSuite() {
        shared_ = new TemporaryFolder;
        const ProgramResult trained = run_lethe(
            {"train", "--data", data, "--model", "resnet8", "--epochs", "10", "--batch-size", "20", "--out", "trained"},
            shared_->path());
        ASSERT_EQ(trained.code, 0) << trained.err;
    }
    static void TearDownTestSuite() {
        delete shared_;
        shared_ = nullptr;
    }
    ProgramResult lethe(const Arguments& arguments, int kill_after_ms = -1) const {
        return run_lethe(arguments, folder_.path(), kill_after_ms);
    }
    Json json(const std::string& name) const { return Json::parse(read_text(folder_.path(name))); }
    static Arguments on_data(const std::string& command) {
        return {command,
                "--data",
                data,
                "--weights",
                shared_->path("trained/weights.safetensors"),
                "--switches",
                "bn-train-steps=off"};
    }
    static Arguments continual(const std::string& out) {
        return on_data("continual") + Arguments{"--method", "neggrad", "--out", out};
    }
    // continual.json without what a clock says.
    Json record(const std::string& out) const {
        Json record = json(out + "/continual.json");
        for (Json& request : record["requests"]) request.erase("seconds");
        return record;
    }
    // How many of the images the weights give their label, counted by another command.
    Json recognised(const std::string& weights, const Json& images) const {
        const std::string chosen = images_expression(images.get<std::vector<int64_t>>());
        const ProgramResult result = lethe({"eval", "--data", data, "--weights", weights, "--split", "train",
                                            "--select", chosen, "--json", "eval.json"});
        EXPECT_EQ(result.code, 0) << result.err;
        return json("eval.json").at("correct");
    }
    void expect_error(const Arguments& arguments, const std::string& sentence) const {
        const ProgramResult result = lethe(arguments);
        EXPECT_EQ(result.code, 1) << result.out;
        EXPECT_THAT(result.err, HasSubstr(sentence));
    }

    static constexpr const char* data = "synthetic:0:60:30";
    static TemporaryFolder* shared_;
    TemporaryFolder folder_;
};

TemporaryFolder* Scenarios::shared_ = nullptr;

TEST_F(Scenarios, ACorrectionIsAnAuditedRun) {
    const ProgramResult run =
        lethe(on_data("unlearn") + Arguments{"--forget", "test:misclassified:0:2", "--relabel", "true", "--methods",
                                             "relabel,relabel+adv", "--repeats", "2", "--steps", "3", "--lr", "0.0003",
                                             "--adversarial-weight", "0.1", "--max-steps", "60", "--out", "run"});
    EXPECT_THAT(run.out, HasSubstr("2 of 30 test images to correct"));
    ASSERT_EQ(run.code, 0) << run.out << run.err;
    const Json results = json("run/results.json"), set = json("run/forget_set.json");
    ASSERT_EQ(results.size(), 3u);
    for (std::size_t row = 0; row < 3; ++row) {
        EXPECT_EQ(results[row].at("forget").at("correct"), row == 0 ? 0 : 2);
        EXPECT_EQ(results[row].at("test").at("total"), 28);
        EXPECT_EQ(results[row].at("retain").at("total"), 60);
    }
    EXPECT_EQ(set.at("split"), "test");
    EXPECT_EQ(json("run/relabel/collateral.json").at("test").at("images"), 28);
    const Json dossier = json("run/relabel/dossier.json").at("images"), attack = json("run/attack.json").at("report");
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(dossier[i].at("index"), set.at("images").at(i).at("index"));
        EXPECT_NE(dossier[i].at("before").at("predicted"), dossier[i].at("label"));
        EXPECT_EQ(dossier[i].at("after").at("predicted"), dossier[i].at("label"));
        for (const std::size_t row : {i, i + 2}) {
            EXPECT_EQ(attack.at(row).at("index"), dossier[i].at("index"));
            EXPECT_NE(attack.at(row).at("target"), dossier[i].at("before").at("predicted"));
        }
    }
    const ProgramResult audited = lethe({"audit", "run"});
    EXPECT_EQ(audited.code, 0) << audited.out << audited.err;
    EXPECT_THAT(read_text(folder_.path("run/certificate.html")), HasSubstr("Images corrected (D_f), of the test set"));
    expect_error({"measure", "run"}, "has corrected test images");
}

TEST_F(Scenarios, ASequenceIsRunsOneAfterTheOther) {
    const Arguments three{"--requests", "3", "--k", "3", "--checkpoint-seconds", "0"};
    ASSERT_EQ(lethe(continual("c") + three).code, 0);
    const Json requests = json("c/continual.json").at("requests");
    ASSERT_EQ(requests.size(), 3u);
    std::string weights = shared_->path("trained/weights.safetensors");
    for (std::size_t i = 0; i < 3; ++i) {
        const std::string run = concat("c/requests/", i + 1);
        EXPECT_EQ(requests[i].at("run"), concat("requests/", i + 1));
        EXPECT_EQ(json(run + "/inputs.json").at("weights_sha256"), sha256_file(fs::path(folder_.path()) / weights));
        EXPECT_EQ(requests[i].at("D_r").at("total"), 60 - 3 * (i + 1)) << "earlier images are not retained";
        EXPECT_EQ(requests[i].at("D_f").at("correct"), 0);
        weights = run + "/neggrad/weights.safetensors";
        ASSERT_EQ(requests[i].at("earlier").size(), i);
        for (std::size_t j = 0; j < i; ++j)
            EXPECT_EQ(requests[i].at("earlier").at(j).at("correct"), recognised(weights, requests[j].at("forget")));
    }
    EXPECT_EQ(lethe({"audit", "c/requests/3"}).code, 0);
    EXPECT_EQ(lethe({"measure", "c/requests/3", "--only", "margins", "--limit", "0"}).code, 0);
    EXPECT_EQ(json("c/requests/3/metrics.json").at("arms").at(0).at("D_r").at("total"), 60 - 9);

    // Killed, it goes on with the same bits.
    int killed = 0;
    for (const int after : {70, 140, 210}) killed += lethe(continual("k") + three, after).code == 128 + 9 ? 1 : 0;
    EXPECT_GT(killed, 0) << "it was never interrupted";
    ASSERT_EQ(lethe(continual("k") + three).code, 0);
    EXPECT_EQ(record("k"), record("c"));

    // Nothing is done twice; with a request more it goes on.
    const auto finished = fs::last_write_time(folder_.path("c/requests/3/manifest.json"));
    EXPECT_EQ(lethe(continual("c") + Arguments{"--requests", "4", "--k", "3", "--checkpoint-seconds", "0"}).code, 0);
    EXPECT_EQ(fs::last_write_time(folder_.path("c/requests/3/manifest.json")), finished);
    EXPECT_TRUE(fs::exists(folder_.path("c/requests/4/manifest.json")));
    expect_error(continual("c") + Arguments{"--requests", "4", "--k", "4"}, "request 1 was answered as");
    expect_error(continual("c") + three, "holds 4 requests");
    write_text(folder_.path("c/requests/4/neggrad/weights.safetensors"), read_text(folder_.path(weights)));
    expect_error(continual("c") + Arguments{"--requests", "5", "--k", "3"}, "is not the file that request 4 left");
}

TEST_F(Scenarios, HoldingEarlierSetsDownForgetsTheirUnion) {
    ASSERT_EQ(lethe(continual("c") + Arguments{"--request", "images:1,2", "--request", "images:3", "--again"}).code, 0);
    EXPECT_EQ(json("c/requests/2/results.json").at(0).at("forget").at("total"), 3);
    const Json second = json("c/continual.json").at("requests").at(1);
    EXPECT_EQ(second.at("forget"), Json::array({3}));
    EXPECT_EQ(second.at("D_f").at("total"), 1);
    EXPECT_EQ(second.at("D_r").at("total"), 57);
    EXPECT_EQ(second.at("earlier").at(0).at("correct"), 0);
}

TEST_F(Scenarios, AFailureIsAResultUnlessItIsToEndTheSequence) {
    const Arguments hopeless{
        "--request", "images:0,1,2,3,4,5,6,7,8", "--request", "images:9", "--lr", "1e-9", "--max-steps", "1"};
    const ProgramResult stopped = lethe(continual("c") + hopeless + Arguments{"--stop-on-failure"});
    EXPECT_EQ(stopped.code, 3) << stopped.err;
    EXPECT_EQ(json("c/continual.json").at("requests").size(), 1u);
    EXPECT_THAT(stopped.out, HasSubstr("request 2 was not begun: request 1 ended as not-forgotten"));
    EXPECT_EQ(lethe(continual("c") + hopeless).code, 3);
    EXPECT_EQ(json("c/continual.json").at("requests").size(), 2u);
    EXPECT_EQ(lethe({"continual", "--config", "c/config.json", "--out", "d"}).code, 3);
    EXPECT_EQ(record("d"), record("c")) << "config.json holds the list of requests";
}

TEST_F(Scenarios, RequestsThatMakeNoSenseAreRefused) {
    write_text(folder_.path("list"), "images:5,6  # first\n\n images:6,7\n");
    expect_error(continual("c") + Arguments{"--request", "images:1", "--request-file", "list"},
                 "image 6 is in request 2 (images:5,6) and in request 3 (images:6,7)");
    expect_error(continual("c"), "give the requests one by one");
    expect_error(continual("c") + Arguments{"--request", "images:1", "--requests", "2"},
                 "give the requests one by one");
    expect_error(continual("c") + Arguments{"--requests", "16", "--k", "4"},
                 "16 requests of 4 images are more than the 60");
    expect_error(continual("c") + Arguments{"--requests", "2", "--k", "0"}, "must be >= 1");
    expect_error(continual("c") + Arguments{"--request", "test:images:1"}, "only training images");
    expect_error(continual("c") + Arguments{"--request", "images:1", "--method", "adv,imp"}, "one method");
    expect_error(continual("c") + Arguments{"--request", "images:1", "--relabel", "true"}, "lethe unlearn");
    write_text(folder_.path("list.json"), R"({"method": ["adv", "imp"]})");
    expect_error(continual("c") + Arguments{"--request", "images:1", "--config", "list.json"},
                 "method must be a string");
    EXPECT_FALSE(fs::exists(folder_.path("c")));
}

}  // namespace
}  // namespace lethe::test
