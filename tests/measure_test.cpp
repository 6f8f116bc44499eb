// lethe measure, as a person uses it: on a run directory, and on weights by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "data/file.h"
#include "data/weights.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"
#include "unlearn/metrics/metric.h"
#include "unlearn/run_directory.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;
using Arguments = std::vector<std::string>;

// A run of two methods on a network that knows some of its 64 images.
class Measure : public testing::Test {
protected:
    static void SetUpTestSuite() {
        folder_ = new TemporaryFolder;
        const auto run = [&](const Arguments& arguments) {
            const ProgramResult result = run_lethe(arguments, folder_->path());
            ASSERT_TRUE(result.code == 0 || result.code == 3 || result.code == 4) << result.err;
        };
        run({"train", "--data", "synthetic:0:64:64", "--model", "resnet8", "--epochs", "12", "--batch-size", "16",
             "--quiet", "--out", "trained"});
        run({"unlearn", "--weights", weights, "--data", "synthetic:0:64:64", "--forget", "random:0:4", "--methods",
             "adv,imp", "--repeats", "2", "--steps", "3", "--max-steps", "15", "--quiet", "--out", "run"});
        if (HasFatalFailure()) return;
        const ProgramResult result = measure({"run"});
        ASSERT_EQ(result.code, 0) << result.err;
        table_ = result.out;
    }
    static void TearDownTestSuite() {
        delete folder_;
        folder_ = nullptr;
    }

    static ProgramResult measure(const Arguments& arguments) {
        Arguments all{"measure", "--draws", "2", "--relearn-steps", "5"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return run_lethe(all, folder_->path());
    }
    static Json json(const std::string& file) { return Json::parse(read_text(folder_->path(file))); }
    static void expect_refusal(const Arguments& arguments, const std::string& text) {
        const ProgramResult result = measure(arguments);
        EXPECT_EQ(result.code, 1) << result.out;
        EXPECT_THAT(result.err, HasSubstr(text));
    }

    // tow and oracle-distance need an oracle; before has no run that it cost.
    static bool expected_of(const std::string& metric, bool method) {
        if (metric == "cost") return method;
        return metric != "tow" && metric != "oracle-distance";
    }

    static constexpr const char* weights = "trained/weights.safetensors";
    static TemporaryFolder* folder_;
    static std::string table_;
};

TemporaryFolder* Measure::folder_ = nullptr;
std::string Measure::table_;

TEST_F(Measure, ARunDirectoryNeedsNothingElse) {
    const Json metrics_file = json("run/metrics.json"), results = json("run/results.json");
    ASSERT_EQ(metrics_file.at("arms").size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        const Json& arm = metrics_file.at("arms")[i];
        EXPECT_EQ(arm.at("arm"), results[i].at("method"));
        EXPECT_THAT(table_, HasSubstr(arm.at("arm").get<std::string>()));
        ASSERT_EQ(arm.at("diverged"), false);
        // What both commands count, they count alike.
        EXPECT_EQ(arm.at("D_f").at("correct"), results[i].at("forget").at("correct"));
        EXPECT_EQ(arm.at("D_r").at("correct"), results[i].at("retain").at("correct"));
        EXPECT_EQ(arm.at("D_test").at("correct"), results[i].at("test").at("correct"));
        EXPECT_NEAR(arm.at("margins").at("forget").at("margin").at("mean").get<double>(),
                    results[i].at("forget").at("mean_margin").get<double>(), 1e-9);
        EXPECT_EQ(arm.at("relearn").at("correct")[0], arm.at("D_f").at("correct"));
        for (const Metric& metric : metrics())
            EXPECT_EQ(arm.contains(metric.name), expected_of(metric.name, i > 0)) << arm.at("arm") << metric.name;
        const std::string weights_of =
            i == 0 ? weights : "run/" + arm.at("arm").get<std::string>() + "/weights.safetensors";
        EXPECT_EQ(arm.at("weights_sha256"), sha256_file(folder_->path(weights_of)));
        // The layer of logits by CKA, the statistics and D_f's count are computed on different ways.
        EXPECT_EQ(arm.at("batchnorm").at("own").at("D_f"), arm.at("D_f"));
        EXPECT_EQ(arm.at("cka").at("layers").size(), 5u);
        EXPECT_EQ(arm.at("attack-transfer").at("rows"), 8);
    }
    const Json& before = metrics_file.at("arms")[0];
    EXPECT_EQ(before.at("activation-distance").at("test"), 0.0);
    EXPECT_EQ(before.at("weight-distance").at("parameters").at("moved"), 0);
    EXPECT_EQ(before.at("relearn").at("steps"), 0);
    for (const Json& layer : before.at("cka").at("layers")) EXPECT_NEAR(layer.at("retain").get<double>(), 1.0, 1e-9);
    EXPECT_EQ(before.at("batchnorm").at("before"), before.at("batchnorm").at("own"));
    EXPECT_EQ(before.at("over-unlearning").at("changed"), 0);
    EXPECT_EQ(before.at("drift").at("whole").at("l2_squared"), 0.0);
    EXPECT_EQ(before.at("attack-transfer").at("target"), json("run/attack.json").at("hits"));
    EXPECT_EQ(metrics_file.at("attack").at("hits"), json("run/attack.json").at("hits"));
    EXPECT_EQ(metrics_file.at("importance").size(), metrics_file.at("arms")[1].at("drift").at("tensors").size());
    EXPECT_TRUE(std::filesystem::exists(folder_->path("run/drift.png")));
    EXPECT_EQ(metrics_file.at("arms")[1].at("cost").at("seconds"), results[1].at("seconds"));
    EXPECT_GT(metrics_file.at("arms")[1].at("weight-distance").at("parameters").at("l2"), 0.0);
}

TEST_F(Measure, IsTheSameForAnyNumberOfThreadsAndByName) {
    ASSERT_EQ(measure({"run", "--threads", "1", "--out", "once"}).code, 0);
    EXPECT_EQ(read_text(folder_->path("once/metrics.json")), read_text(folder_->path("run/metrics.json")));
    ASSERT_EQ(measure({"--before", weights, "--after", "run/adv/weights.safetensors", "--data", "synthetic:0:64:64",
                       "--forget", "random:0:4", "--json", "named.json"})
                  .code,
              0);
    Json named = json("named.json").at("arms")[1], of_run = json("run/metrics.json").at("arms")[1];
    named.erase("arm");
    for (const char* of_a_run : {"arm", "attack-transfer", "drift", "cost"}) of_run.erase(of_a_run);
    EXPECT_EQ(named, of_run);
}

TEST_F(Measure, AnOracleGivesTheTugOfWar) {
    ASSERT_EQ(measure({"run", "--oracle", weights, "--out", "oracle"}).code, 0);
    const Json arms = json("oracle/metrics.json").at("arms");
    ASSERT_EQ(arms.size(), 4u);
    EXPECT_EQ(arms[0].at("tow").at("value"), 1.0);
    double product = 1;
    for (const char* set : {"D_f", "D_r", "D_test"})
        product *=
            1 -
            std::abs(arms[3].at(set).at("accuracy").get<double>() - arms[0].at(set).at("accuracy").get<double>()) / 100;
    EXPECT_NEAR(arms[3].at("tow").at("value").get<double>(), product, 1e-12);
    // Here the oracle is the model before, so that both distances are one.
    EXPECT_EQ(arms[3].at("oracle-distance").at("activation"), arms[3].at("activation-distance"));
    EXPECT_GT(arms[3].at("oracle-distance").at("js").at("forget").get<double>(), 0.0);
    EXPECT_EQ(arms[1].at("oracle-distance").at("js").at("test"), 0.0);
}

TEST_F(Measure, ComputesWhatIsAskedFor) {
    const ProgramResult some = measure({"run", "--only", "cka,relearn", "--out", "some"});
    ASSERT_EQ(some.code, 0) << some.err;
    EXPECT_THAT(some.out, testing::AllOf(HasSubstr("CKA"), testing::Not(HasSubstr("zrf"))));
    const Json arm = json("some/metrics.json").at("arms")[2], all = json("run/metrics.json").at("arms")[2];
    EXPECT_EQ(arm.at("cka"), all.at("cka"));
    EXPECT_EQ(arm.at("relearn"), all.at("relearn"));
    EXPECT_FALSE(arm.contains("zrf") || arm.contains("drift") || arm.contains("cost"));
    std::string others;
    for (const Metric& metric : metrics())
        if (metric.name != "zrf") others += (others.empty() ? "" : ",") + metric.name;
    ASSERT_EQ(measure({"run", "--skip", others, "--out", "few"}).code, 0);
    EXPECT_EQ(json("few/metrics.json").at("arms")[2].at("zrf"), all.at("zrf"));
    expect_refusal({"run", "--only", "nonsense"}, "unknown name 'nonsense'");
    expect_refusal({"run", "--skip", "nonsense"}, "unknown name 'nonsense'");
    expect_refusal({"run", "--only", "cka", "--skip", "zrf"}, "not both");
    expect_refusal({"run", "--sample", "3"}, "sample");
}

// A method that ended in NaN has a row that says so, and the others have theirs.
TEST_F(Measure, ADivergedMethodIsSaidToBe) {
    std::filesystem::copy(folder_->path("run"), folder_->path("broken"), std::filesystem::copy_options::recursive);
    const std::string file = folder_->path("broken/imp/weights.safetensors");
    WeightFile saved = read_weights(file);
    StateDict state = saved.state();
    state.front().second.mutable_data()[0] = std::nanf("");
    saved.metadata.erase(tensors_sha256_key);
    write_weights(file, state, saved.metadata);
    const ProgramResult result = measure({"broken", "--only", "zrf,cost"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("imp  diverged: its answers are not numbers"));
    const Json arms = json("broken/metrics.json").at("arms");
    EXPECT_EQ(arms[2].at("diverged"), true);
    EXPECT_FALSE(arms[2].contains("zrf") || arms[2].contains("D_f"));
    EXPECT_EQ(arms[1].at("zrf"), json("run/metrics.json").at("arms")[1].at("zrf"));
    // Named from elsewhere such a file is refused, as any other command does.
    expect_refusal({"--before", weights, "--after", "broken/imp/weights.safetensors", "--data", "synthetic:0:64:64",
                    "--forget", "random:0:4"},
                   "NaN");
}

// metrics.json is in no manifest: an audit wants it to be of the run's weights and images.
TEST_F(Measure, AnAuditRefusesMetricsOfOtherWeights) {
    std::filesystem::copy(folder_->path("run"), folder_->path("audited"), std::filesystem::copy_options::recursive);
    const ProgramResult honest = run_lethe({"audit", "audited"}, folder_->path());
    EXPECT_EQ(honest.code, 0) << honest.err;
    EXPECT_THAT(honest.out, HasSubstr("holds    metrics:"));
    // All that can be wrong at once, each with its sentence.
    Json changed = json("run/metrics.json");
    changed.at("forget")[0] = 63;
    changed.at("arms")[0].at("D_f").at("correct") = 77;
    changed.at("arms")[1].at("weights_sha256") = changed.at("arms")[2].at("weights_sha256");
    changed.at("arms")[2].erase("weights_sha256");
    write_text(folder_->path("audited/metrics.json"), changed.dump());
    const ProgramResult refused = run_lethe({"audit", "audited"}, folder_->path());
    EXPECT_EQ(refused.code, 5) << refused.err;
    for (const char* text : {"REFUSED  metrics:", "other images than D_f", "before recognises 77 images of D_f",
                             "other weights of adv", "run lethe measure again"})
        EXPECT_THAT(refused.out, HasSubstr(text));
}

TEST_F(Measure, RefusesWhatDoesNotFit) {
    expect_refusal({}, "run directory of lethe unlearn");
    expect_refusal({"nowhere"}, "has no config.json");
    expect_refusal({"trained"}, "a run of lethe train");
    expect_refusal({"run", "--forget", "random:0:4"}, "leave --after and --forget away");
    expect_refusal({"run", "--data", "synthetic:1:64:64"}, "give the same --data");
    expect_refusal({"run", "--weights", "run/adv/weights.safetensors"}, "another hash");
    expect_refusal({"run", "--draws", "0"}, "draws");
    expect_refusal({"run", "--limit", "2"}, "limit");
    expect_refusal(
        {"--before", weights, "--after", "gone.safetensors", "--data", "synthetic:0:64:64", "--forget", "random:0:4"},
        "gone.safetensors");
    expect_refusal({"--before", weights, "--after", weights, "--data", "synthetic:0:64:64"}, "--forget");
}

TEST_F(Measure, MetricsAreListedAndDocumented) {
    const ProgramResult listed = run_lethe({"inspect", "--metrics"}, folder_->path());
    ASSERT_EQ(listed.code, 0) << listed.err;
    const std::string page = read_text(std::filesystem::path(LETHE_SOURCE_DIR) / "docs/metrics.md");
    std::set<std::string> names;
    for (const Metric& metric : metrics()) {
        EXPECT_THAT(listed.out, HasSubstr(metric.name));
        EXPECT_THAT(page, HasSubstr("`" + metric.name + "`"));
        EXPECT_FALSE(metric.direction.empty() || metric.chance.empty() || metric.source.empty()) << metric.name;
        names.insert(metric.name);
    }
    EXPECT_EQ(names.size(), metrics().size());
}

}  // namespace
}  // namespace lethe::test
