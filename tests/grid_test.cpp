// The file of an experiment, its cells, and what is made of the runs.
#include "unlearn/experiment/grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "data/file.h"
#include "tests/support/compare.h"
#include "unlearn/experiment/collect.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The lines are numbered: refusals name them.
const std::string good = R"(k = [1, 4]
seeds = [0, 7]
forget = "random:SEED:K"
methods = ["neggrad", "adv"]
switches = ["", "bn-train-steps=off,plain-ce=on"]
[[model]]
name = "small"
weights = "w.safetensors"
normalize = "imagenet"
[[data]]
name = "shapes"
data = "synthetic"
[options]
lr = 0.5
repeats = 2
shuffle = true
)";

class GridFile : public testing::Test {
protected:
    Grid read(const std::string& text) {
        write_text(path(), text);
        return read_grid(path(), {"weights", "data", "lr", "repeats", "shuffle", "seed", "out"});
    }
    // What is said of `good` with `part` replaced, without the file's name in front.
    std::string refusal(const std::string& part, const std::string& by) {
        std::string text = good;
        EXPECT_NE(text.find(part), std::string::npos) << part;
        text.replace(text.find(part), part.size(), by);
        const std::string error = error_of([&] { read(text); });
        EXPECT_EQ(error.find(path()), 0u) << error;
        return error.substr(std::min(error.size(), path().size() + 1));
    }
    std::string path() const { return folder_.path("grid.toml"); }
    TemporaryFolder folder_;
};

TEST_F(GridFile, IsEveryCombination) {
    const Grid grid = read(good);
    const std::vector<Cell> cells = cells_of(grid);
    std::vector<std::string> names;
    for (const Cell& cell : cells) names.push_back(cell.name);
    EXPECT_THAT(names, ElementsAre("small_shapes_k1_seed0", "small_shapes_k1_seed7",
                                   "small_shapes_k1_bn-train-steps=off+plain-ce=on_seed0",
                                   "small_shapes_k1_bn-train-steps=off+plain-ce=on_seed7", "small_shapes_k4_seed0",
                                   "small_shapes_k4_seed7", "small_shapes_k4_bn-train-steps=off+plain-ce=on_seed0",
                                   "small_shapes_k4_bn-train-steps=off+plain-ce=on_seed7"));
    EXPECT_EQ(cells[7].config, Json({{"command", "unlearn"},
                                     {"weights", "w.safetensors"},
                                     {"normalize", "imagenet"},
                                     {"data", "synthetic"},
                                     {"lr", 0.5},
                                     {"repeats", 2},
                                     {"shuffle", true},
                                     {"forget", "random:7:4"},
                                     {"methods", "neggrad,adv"},
                                     {"protocol", "recommended"},
                                     {"switches", "bn-train-steps=off,plain-ce=on"},
                                     {"seed", 7}}));
    EXPECT_THAT(grid.compare, ElementsAre(std::pair("adv", "neggrad")));
}

TEST_F(GridFile, EverySetMeetsEverySeed) {
    std::string text = good;
    text.replace(text.find("SEED:K"), 4, "SET");
    const std::vector<Cell> cells = cells_of(read("sets = [3, 5]\n" + text));
    ASSERT_EQ(cells.size(), 16u);
    EXPECT_EQ(cells[1].name, "small_shapes_k1_set3_seed7");
    EXPECT_EQ(cells[1].config.at("forget"), "random:3:1");
    EXPECT_EQ(cells[1].config.at("seed"), 7);
    EXPECT_EQ(cells[2].name, "small_shapes_k1_set5_seed0");
    EXPECT_EQ(cells[14].name, "small_shapes_k4_bn-train-steps=off+plain-ce=on_set5_seed0");
    EXPECT_THAT(error_of([&] { read(text); }), HasSubstr("forget is 'random:SET:K' and there is no list 'sets'"));
    EXPECT_THAT(refusal("k = [1", "sets = [0]\nk = [1"), HasSubstr("4: forget is 'random:SEED:K' and there is a list"));
    EXPECT_THAT(refusal("k = [1", "sets = [-1]\nk = [1"), HasSubstr("1: sets must be 0 or more"));
}

TEST_F(GridFile, ComparesWhatItNames) {
    EXPECT_THAT(read("compare = [[\"neggrad\", \"adv\"]]\n" + good).compare, ElementsAre(std::pair("neggrad", "adv")));
    EXPECT_THAT(read("compare = []\n" + good).compare, IsEmpty());
    EXPECT_THAT(refusal("k = [1", "compare = [[\"adv\", \"imp\"]]\nk = [1"), AllOf(HasSubstr("1:"), HasSubstr("pair")));
}

TEST_F(GridFile, UnknownKeysAreRefusedWithTheirLine) {
    EXPECT_THAT(refusal("seeds = ", "seed = [1]\nseeds = "),
                AllOf(HasSubstr("2: unknown key 'seed'"), HasSubstr("seeds")));
    EXPECT_THAT(refusal("normalize", "normalise"),
                AllOf(HasSubstr("9: unknown key 'normalise' in [[model]]"), HasSubstr("stem")));
    EXPECT_THAT(refusal("data = \"syn", "source = \"syn"), HasSubstr("12: unknown key 'source' in [[data]]"));
    EXPECT_THAT(refusal("repeats", "repeat"),
                AllOf(HasSubstr("15: unknown key 'repeat' in [options]"), HasSubstr("shuffle")));
    EXPECT_THAT(refusal("repeats", "out"), HasSubstr("15: unknown key 'out'")) << "it is the grid's to say";
}

TEST_F(GridFile, WhatIsWrongIsNamedWithItsLine) {
    EXPECT_THAT(refusal("seeds", "# seeds"), HasSubstr("'seeds' is missing"));
    EXPECT_THAT(refusal("[1, 4]", "[1, 4"), HasSubstr("not TOML"));
    EXPECT_THAT(refusal("[1, 4]", "4"), HasSubstr("1: k must be a list"));
    EXPECT_THAT(refusal("[1, 4]", "[]"), HasSubstr("1: k must be a list"));
    EXPECT_THAT(refusal("[1, 4]", "[1, 0]"), HasSubstr("1: k must be 1 or more, got 0"));
    EXPECT_THAT(refusal("[1, 4]", "[1, 2.5]"), HasSubstr("1: k must be a list of whole numbers"));
    EXPECT_THAT(refusal("[0, 7]", "[7, 7]"), HasSubstr("2: seeds holds 7 twice"));
    EXPECT_THAT(refusal("[0, 7]", "[-1]"), HasSubstr("2: seeds must be 0 or more"));
    EXPECT_THAT(refusal("SEED:K", "SEED:16"), HasSubstr("3: forget is 'random:SEED:16'; the part K is missing"));
    EXPECT_THAT(refusal("\"adv\"", "\"adversarial\""), AllOf(HasSubstr("4: method"), HasSubstr("adv+imp")));
    EXPECT_THAT(refusal("plain-ce=on", "plain=on"), AllOf(HasSubstr("5: switch"), HasSubstr("plain-ce")));
    EXPECT_THAT(refusal("k = [1", "protocol = \"strict\"\nk = [1"), HasSubstr("1: protocol"));
    EXPECT_THAT(refusal("\"small\"", "\"../small\""), HasSubstr("7: name '../small'"));
    EXPECT_THAT(refusal("weights = ", "# "), HasSubstr("the key 'weights' is missing in [[model]]"));
    EXPECT_THAT(refusal("0.5", "[0.5]"), HasSubstr("14: lr must be"));
    EXPECT_THAT(error_of([&] { read_grid(folder_.path("nowhere.toml"), {}); }), HasSubstr("nowhere.toml"));
}

// Run directories as `lethe unlearn` leaves them, with what collecting reads. D_f has 4 images, D_r and D_test 10.
class Collecting : public testing::Test {
protected:
    Collecting() {
        grid_.models = {{"small", Json::object()}};
        grid_.data = {{"shapes", Json::object()}};
        grid_.k = {4};
        grid_.seeds = {0, 1, 2};
        grid_.forget = "random:SEED:K";
        grid_.methods = {"neggrad", "adv"};
        grid_.compare = {{"adv", "neggrad"}};
    }

    static Json outcome(const std::string& verdict, int64_t steps, const std::vector<int64_t>& f,
                        const std::vector<int64_t>& r, const std::vector<int64_t>& t) {
        const auto percent = [](std::size_t wrong, double total) {
            return 100 * (total - static_cast<double>(wrong)) / total;
        };
        return {{"D_f", percent(f.size(), 4)},
                {"D_r", percent(r.size(), 10)},
                {"D_test", percent(t.size(), 10)},
                {"verdict", verdict},
                {"steps", steps},
                {"seconds", 0.5},
                {"forget", {{"total", 4}, {"wrong", f}}},
                {"retain", {{"total", 10}, {"wrong", r}}},
                {"test", {{"total", 10}, {"wrong", t}}}};
    }
    void write(const std::string& cell, const Json& neggrad, const Json& adv, const std::string& weights = "a") {
        const std::filesystem::path run = folder_.path(cell);
        for (const char* method : {"neggrad", "adv"}) std::filesystem::create_directories(run / method);
        const auto put = [&](const char* name, const Json& json) { write_text(run / name, json.dump()); };
        put("inputs.json", {{"weights_sha256", weights}, {"train_sha256", "b"}, {"test_sha256", "c"}});
        put("before.json", outcome("before", 0, {}, {}, {9}));
        put("neggrad/result.json", neggrad);
        put("adv/result.json", adv);
        put("results.json", Json::array());
        put("manifest.json", Json::object());
    }
    // D_test of neggrad 80, 70, 60 and of adv 80, 80, 90; before 90.
    void write_three() {
        const std::vector<int64_t> all{0, 1, 2, 3};
        write("small_shapes_k4_seed0", outcome("forgotten", 10, all, {1}, {1, 2}),
              outcome("forgotten", 20, all, {1}, {1, 3}));
        write("small_shapes_k4_seed1", outcome("forgotten", 12, all, {1}, {1, 2, 3}),
              outcome("not-forgotten", 60, {0, 1, 2}, {1}, {1, 2}));
        write("small_shapes_k4_seed2", outcome("diverged", 14, all, {1}, {1, 2, 3, 4}),
              outcome("forgotten", 22, all, {2}, {5}));
    }
    ExperimentResults results() const { return collect(grid_, folder_.path()); }
    static const MethodSummary& of(const ExperimentResults& all, const std::string& method) {
        return *std::find_if(all.methods.begin(), all.methods.end(), [&](const auto& m) { return m.method == method; });
    }

    Grid grid_;
    TemporaryFolder folder_;
};

// By hand: mean (80 + 70 + 60) / 3, deviation sqrt((10^2 + 0 + 10^2) / 2), t_2(0.975) = 4.302652729911275, so that the
// interval reaches 4.302652729911275 * 10 / sqrt(3) = 24.84137711836. adv: mean 250 / 3, deviation sqrt(
// (2 (10/3)^2 + (20/3)^2) / 2) = 5.773502691896.
TEST_F(Collecting, MeansOverSeeds) {
    write_three();
    const ExperimentResults all = results();
    EXPECT_EQ(all.cells, 3u);
    EXPECT_THAT(all.missing, IsEmpty());
    const Summary test = of(all, "neggrad").summaries.at("D_test");
    EXPECT_NEAR(test.mean, 70, 1e-9);
    EXPECT_NEAR(test.deviation.value(), 10, 1e-9);
    EXPECT_NEAR(test.interval->high - test.mean, 24.84137711836, 1e-9);
    EXPECT_NEAR(of(all, "neggrad").summaries.at("drop").mean, 20, 1e-9);
    EXPECT_NEAR(of(all, "neggrad").summaries.at("steps").mean, 12, 1e-9);
    EXPECT_NEAR(of(all, "adv").summaries.at("D_test").deviation.value(), 5.773502691896, 1e-9);
    EXPECT_NEAR(of(all, "adv").summaries.at("D_f").mean, 25.0 / 3, 1e-9);
    EXPECT_NEAR(of(all, "before").summaries.at("D_test").mean, 90, 1e-9);
    EXPECT_EQ(of(all, "neggrad").forgotten, 2);
    EXPECT_EQ(of(all, "neggrad").diverged, 1);
    EXPECT_EQ(of(all, "adv").forgotten, 2);
}

// By hand: the differences 0, 10, 30 have mean 40/3 and deviation sqrt((1600 + 100 + 2500) / 9 / 2) = 15.27525231652,
// so t = 13.33333333333 / (15.27525231652 / sqrt(3)) = 1.511857892037; for two degrees of freedom p is 1 - t / sqrt(2 +
// t^2) = 0.2697032566597. McNemar: 1 against 1; 1 against 0; {1,2,3,4} against {5}: 2 * (1 + 5) / 32.
TEST_F(Collecting, ComparesOnTheSameForgetSets) {
    write_three();
    const ExperimentResults all = results();
    ASSERT_EQ(all.comparisons.size(), 3u);  // D_f, D_r, D_test
    const MethodComparison& test = all.comparisons[2];
    EXPECT_EQ(test.set, "D_test");
    EXPECT_NEAR(test.accuracy.difference.mean, 40.0 / 3, 1e-9);
    EXPECT_NEAR(test.accuracy.difference.deviation.value(), 15.27525231652, 1e-9);
    EXPECT_NEAR(test.accuracy.t.value(), 1.511857892037, 1e-9);
    EXPECT_NEAR(test.accuracy.p.value(), 0.2697032566597, 1e-9);
    EXPECT_EQ(test.discordant[0].only_first, 1);
    EXPECT_EQ(test.discordant[0].only_second, 1);
    EXPECT_EQ(test.discordant[2].only_first, 4);
    EXPECT_EQ(test.discordant[2].only_second, 1);
    EXPECT_NEAR(test.discordant[2].p, 0.375, 1e-9);
    EXPECT_FALSE(all.comparisons[1].accuracy.p) << "D_r is the same in every run";
    EXPECT_EQ(all.comparisons[1].discordant[2].only_first, 1) << "though not the same images";
}

// By hand: set 0 has D_test 80 and 70, set 1 60: of the means 75 and 60 the mean is 67.5 and the deviation 15 /
// sqrt(2); adv has 80, 80 and 90: 80 and 90; so the differences are 5 and 30.
TEST_F(Collecting, SeedsOfOneSetAreOneValue) {
    grid_.sets = {0, 1};
    grid_.seeds = {0, 1};
    grid_.forget = "random:SET:K";
    const std::vector<int64_t> all{0, 1, 2, 3};
    write("small_shapes_k4_set0_seed0", outcome("forgotten", 10, all, {1}, {1, 2}),
          outcome("forgotten", 20, all, {1}, {1, 3}));
    write("small_shapes_k4_set0_seed1", outcome("forgotten", 12, all, {1}, {1, 2, 3}),
          outcome("not-forgotten", 60, all, {1}, {1, 2}));
    write("small_shapes_k4_set1_seed0", outcome("forgotten", 14, all, {1}, {1, 2, 3, 4}),
          outcome("forgotten", 22, all, {2}, {5}));
    const ExperimentResults results = this->results();
    EXPECT_THAT(results.missing, ElementsAre("small_shapes_k4_set1_seed1"));
    const MethodSummary& neggrad = of(results, "neggrad");
    EXPECT_THAT(neggrad.values.at("D_test"), ElementsAre(80, 70, 60));
    EXPECT_EQ(neggrad.summaries.at("D_test").n, 2);
    EXPECT_NEAR(neggrad.summaries.at("D_test").mean, 67.5, 1e-9);
    EXPECT_NEAR(neggrad.summaries.at("D_test").deviation.value(), 15 / std::sqrt(2.0), 1e-9);
    const MethodComparison& test = results.comparisons[2];
    EXPECT_NEAR(test.accuracy.difference.mean, 17.5, 1e-9);
    EXPECT_EQ(test.accuracy.difference.n, 2);
    EXPECT_EQ(test.discordant.size(), 3u);
    EXPECT_EQ(to_json(results).at("methods").at(1).at("sets"), Json({0, 0, 1}));
    EXPECT_THAT(results_table(results),
                AllOf(HasSubstr("3 of 4 runs"), HasSubstr("forget sets, each the mean of its")));
    EXPECT_THAT(summaries_csv(results), HasSubstr("small,shapes,4,,neggrad,2,3,3,"));
    grid_.sets = {1};
    EXPECT_THAT(this->results().warnings, ElementsAre(HasSubstr("one set tells nothing")));
}

// 10, 20 and 60 per cent of the copies; "before" is of an older version, which did not count them.
TEST_F(Collecting, ReemergenceStandsBesideDf) {
    write_three();
    for (const auto& [seed, share] : {std::pair{"0", 10}, {"1", 20}, {"2", 60}}) {
        const std::string path = folder_.path(std::string("small_shapes_k4_seed") + seed + "/adv/result.json");
        Json json = Json::parse(read_text(path));
        json["reemergence"] = share;
        write_text(path, json.dump());
    }
    const ExperimentResults all = results();
    EXPECT_NEAR(of(all, "adv").summaries.at("reemergence").mean, 30, 1e-9);
    EXPECT_TRUE(std::isnan(of(all, "before").summaries.at("reemergence").mean));
    EXPECT_EQ(of(all, "before").summaries.at("reemergence").n, 0);
    EXPECT_THAT(summaries_csv(all), HasSubstr("D_f_high,reemergence_mean,"));
    EXPECT_THAT(results_table(all), HasSubstr("copies"));
}

TEST_F(Collecting, WarnsOfWhatKCannotResolve) {
    write_three();
    // adv left one image of one run recognised: 8.3 % on average, of which one image of four is 25.
    EXPECT_THAT(results().warnings, ElementsAre(AllOf(HasSubstr("k = 4"), HasSubstr("D_f"),
                                                      HasSubstr("8.33 points, less than one image (25)"))));
    EXPECT_THAT(results_table(results()), HasSubstr("one image of D_f is 25 %"));
}

// 91.6 - 91.59 is 0.00999999999999 in binary.
TEST_F(Collecting, OneImageIsEnough) {
    grid_.seeds = {0};
    Json neggrad = outcome("forgotten", 1, {}, {}, {}), adv = neggrad;
    neggrad["D_r"] = 91.6;
    adv["D_r"] = 91.59;
    for (Json* json : {&neggrad, &adv}) (*json)["retain"]["total"] = 10000;
    write("small_shapes_k4_seed0", neggrad, adv);
    EXPECT_THAT(results().warnings, ElementsAre(HasSubstr("one seed")));
}

TEST_F(Collecting, TakesWhatIsThere) {
    EXPECT_THAT(error_of([&] { results(); }), HasSubstr("no cell"));
    write_three();
    std::filesystem::remove(folder_.path("small_shapes_k4_seed1/manifest.json"));
    std::filesystem::remove_all(folder_.path("small_shapes_k4_seed2"));
    const ExperimentResults all = results();
    EXPECT_THAT(all.missing, ElementsAre("small_shapes_k4_seed1", "small_shapes_k4_seed2"));
    EXPECT_THAT(all.warnings, ElementsAre(HasSubstr("one seed")));
    EXPECT_THAT(results_table(all), HasSubstr("1 of 3 seeds"));
    EXPECT_EQ(to_json(all).at("methods").at(1).at("D_test").at("sd"), nullptr);
    write("small_shapes_k4_seed1", outcome("forgotten", 1, {}, {}, {}), outcome("forgotten", 1, {}, {}, {}), "other");
    EXPECT_THAT(error_of([&] { results(); }), AllOf(HasSubstr("weights of small"), HasSubstr("seed1")));
    write_text(folder_.path("small_shapes_k4_seed1/before.json"), "{}");
    write_text(folder_.path("small_shapes_k4_seed1/inputs.json"),
               R"({"weights_sha256": "a", "train_sha256": "b", "test_sha256": "c"})");
    EXPECT_THAT(error_of([&] { results(); }), HasSubstr("seed1/before.json"));
}

TEST_F(Collecting, WritesTables) {
    write_three();
    grid_.switches = {"plain-ce=on,decay-all=on", ""};
    const ExperimentResults all = results();
    const std::string summaries = summaries_csv(all), comparisons = comparisons_csv(all);
    EXPECT_THAT(summaries,
                HasSubstr("small,shapes,4,,neggrad,3,3,2,0.2076596008,0.9385080553,1,0,0,,,,,,,90,0,,,70,10,"))
        << "wilson_interval(2, 3) as in SciPy: binomtest(2, 3).proportion_ci(0.95, 'wilson')";
    EXPECT_THAT(comparisons, HasSubstr("\nsmall,shapes,4,,D_test,adv,neggrad,3,13.33333333,15.27525232,"));
    EXPECT_THAT(comparisons, HasSubstr("\nsmall,shapes,4,,D_r,adv,neggrad,3,0,0,,,,,10,all differences are equal"));
    EXPECT_EQ(to_json(all).at("cells"), 6);
    EXPECT_EQ(to_json(all).at("comparisons").at(2).at("mcnemar").at(2).at("p"), 0.375);
}

}  // namespace
}  // namespace lethe::test
