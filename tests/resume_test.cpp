// Runs killed at random moments and continued end with the same weights, to the last bit.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "data/file.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"

namespace lethe::test {
namespace {

constexpr int kills = 20;

class Resume : public testing::Test {
protected:
    // Kills `command` `kills` times, each time at a random moment of what is left, and lets it end.
    void kill_and_continue(const std::vector<std::string>& command, int longest_ms) {
        std::mt19937 random(2024);
        int killed = 0;
        for (int i = 0; i < 10 * kills && killed < kills; ++i) {
            const int after = static_cast<int>(random() % static_cast<unsigned>(longest_ms));
            const ProgramResult result = run_lethe(command, folder_.path(), after);
            if (result.code == 128 + 9)
                ++killed;
            else  // it ended first: begin again, so that the kills cover the whole run
                std::filesystem::remove_all(folder_.path(command.back()));
        }
        EXPECT_EQ(killed, kills) << "the run is too short to be killed";
        const ProgramResult last = run_lethe(command, folder_.path());
        EXPECT_TRUE(last.code == 0 || last.code == 3 || last.code == 4) << last.err;
    }
    void expect_same(const std::string& file) {
        EXPECT_EQ(sha256_file(folder_.path("whole/" + file)), sha256_file(folder_.path("killed/" + file))) << file;
    }
    // But for the seconds.
    void expect_same_lines(const std::string& file) {
        const auto lines = [&](const std::string& folder) {
            std::vector<nlohmann::json> all;
            std::istringstream text(read_text(folder_.path(folder + "/" + file)));
            for (std::string line; std::getline(text, line);) {
                all.push_back(nlohmann::json::parse(line));
                all.back().erase("seconds");
            }
            return all;
        };
        EXPECT_FALSE(lines("whole").empty());
        EXPECT_EQ(lines("whole"), lines("killed")) << file;
    }
    TemporaryFolder folder_;
};

TEST_F(Resume, SlowTrainingAndUnlearningSurviveTwentyKills) {
    const std::vector<std::string> train{"train",
                                         "--data",
                                         "synthetic:0:256",
                                         "--model",
                                         "resnet8",
                                         "--epochs",
                                         "12",
                                         "--schedule",
                                         "onecycle",
                                         "--transform",
                                         "random-resized-crop=32,flip",
                                         "--validation",
                                         "0.25",
                                         "--ema",
                                         "0.9",
                                         "--clip-norm",
                                         "1",
                                         "--label-smoothing",
                                         "0.1",
                                         "--checkpoint-seconds",
                                         "0",
                                         "--out"};
    const auto with = [](std::vector<std::string> command, const std::string& out) {
        command.push_back(out);
        return command;
    };
    ASSERT_EQ(run_lethe(with(train, "whole"), folder_.path()).code, 0);
    kill_and_continue(with(train, "killed"), 800);
    expect_same("weights.safetensors");
    expect_same("best.safetensors");
    expect_same_lines("trace.jsonl");
    expect_same_lines("epochs.jsonl");

    std::filesystem::rename(folder_.path("whole"), folder_.path("trained"));
    std::filesystem::remove_all(folder_.path("killed"));
    const std::vector<std::string> unlearn{"unlearn",
                                           "--data",
                                           "synthetic:0:256",
                                           "--weights",
                                           "trained/weights.safetensors",
                                           "--forget",
                                           "random:0:8",
                                           "--repeats",
                                           "4",
                                           "--steps",
                                           "10",
                                           "--max-steps",
                                           "40",
                                           "--protocol",
                                           "reference",
                                           "--checkpoint-seconds",
                                           "0",
                                           "--out"};
    run_lethe(with(unlearn, "whole"), folder_.path());
    kill_and_continue(with(unlearn, "killed"), 800);
    for (const char* method : {"neggrad", "adv", "imp", "adv+imp"})
        expect_same(std::string(method) + "/weights.safetensors");
}

}  // namespace
}  // namespace lethe::test
