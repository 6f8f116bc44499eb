// `lethe experiment` as a person runs it: kills, changed files, failing cells, launchers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/file.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using Arguments = std::vector<std::string>;

class Experiment : public testing::Test {
protected:
    static void SetUpTestSuite() {
        shared_ = new TemporaryFolder;
        train_resnet8(shared_->path());
    }
    static void TearDownTestSuite() {
        delete shared_;
        shared_ = nullptr;
    }

    // A grid over `k` and `seeds`, as TOML writes lists.
    void write_grid(const std::string& k, const std::string& seeds, const std::string& options = "") {
        write_text(folder_.path("grid.toml"),
                   "k = " + k + "\nseeds = " + seeds +
                       "\nforget = \"random:SEED:K\"\nmethods = [\"neggrad\", \"adv\"]\n" +
                       "[[model]]\nname = \"r8\"\nweights = \"" + shared_->path("trained/weights.safetensors") +
                       "\"\n[[data]]\nname = \"shapes\"\ndata = \"synthetic:0:64:64\"\n[options]\nrepeats = 2\n" +
                       "steps = 3\nmax-steps = 5\n" + options);
    }
    ProgramResult experiment(const Arguments& further = {}, int kill_after_ms = -1) {
        Arguments arguments{"experiment", "grid.toml", "--out", "out"};
        arguments.insert(arguments.end(), further.begin(), further.end());
        return run_lethe(arguments, folder_.path(), kill_after_ms);
    }
    bool finished(const std::string& cell) const {
        return is_file(folder_.path("out/runs/" + cell + "/manifest.json"));
    }
    // A file that is written anew is another one.
    ino_t identity(const std::string& name) const {
        struct stat status {};
        EXPECT_EQ(stat(folder_.path(name).c_str(), &status), 0) << name;
        return status.st_ino;
    }
    nlohmann::json results() const { return nlohmann::json::parse(read_text(folder_.path("out/results.json"))); }
    std::vector<std::string> lines(const std::string& text) const {
        std::vector<std::string> list;
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) list.push_back(line);
        return list;
    }
    void write_program(const std::string& name, const std::string& text) {
        std::filesystem::create_directories(std::filesystem::path(folder_.path(name)).parent_path());
        write_text(folder_.path(name), text);
        std::filesystem::permissions(folder_.path(name), std::filesystem::perms::owner_all);
    }

    static TemporaryFolder* shared_;
    TemporaryFolder folder_;
};

TemporaryFolder* Experiment::shared_ = nullptr;

TEST_F(Experiment, RunsEveryCellOnceAndGrows) {
    write_grid("[2]", "[0]");
    const ProgramResult dry = experiment({"--dry-run"});
    EXPECT_THAT(dry.out, AllOf(HasSubstr("missing   r8_shapes_k2_seed0"), HasSubstr("1 cells, 1 missing")));
    EXPECT_FALSE(is_there(folder_.path("out"))) << "--dry-run writes nothing";

    const ProgramResult first = experiment();
    ASSERT_EQ(first.code, 0) << first.err;
    ASSERT_TRUE(finished("r8_shapes_k2_seed0"));
    const ino_t before = identity("out/runs/r8_shapes_k2_seed0/neggrad/result.json");

    write_grid("[2, 4]", "[0, 1]", "threads = 1\n");  // which changes no result
    const ProgramResult second = experiment({"--jobs", "3"});
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_THAT(second.out, HasSubstr("3 cells run, 0 failed, 1 had been finished"));
    EXPECT_EQ(identity("out/runs/r8_shapes_k2_seed0/neggrad/result.json"), before);
    EXPECT_EQ(results().at("cells"), 4);
    EXPECT_EQ(results().at("methods").size(), 6u);  // before, neggrad and adv for either k
    EXPECT_EQ(lines(read_text(folder_.path("out/results.csv"))).size(), 7u);
    EXPECT_EQ(lines(read_text(folder_.path("out/comparisons.csv"))).size(), 7u);

    std::filesystem::remove(folder_.path("out/results.json"));
    std::filesystem::remove(folder_.path("out/runs/r8_shapes_k4_seed1/manifest.json"));
    ASSERT_EQ(experiment({"--collect"}).code, 0);
    EXPECT_EQ(results().at("missing").at(0), "r8_shapes_k4_seed1");
    EXPECT_FALSE(finished("r8_shapes_k4_seed1")) << "--collect runs nothing";
}

// What the cells compute is what `lethe unlearn` computes.
TEST_F(Experiment, ACellIsARunOfUnlearn) {
    write_grid("[3]", "[5]");
    ASSERT_EQ(experiment().code, 0);
    run_lethe({"unlearn", "--data", "synthetic:0:64:64", "--weights", shared_->path("trained/weights.safetensors"),
               "--forget", "random:5:3", "--seed", "5", "--methods", "neggrad,adv", "--repeats", "2", "--steps", "3",
               "--max-steps", "5", "--out", "alone"},
              folder_.path());
    EXPECT_EQ(sha256_file(folder_.path("alone/adv/weights.safetensors")),
              sha256_file(folder_.path("out/runs/r8_shapes_k3_seed5/adv/weights.safetensors")));
}

TEST_F(Experiment, SlowSurvivesKillsAtAnyMoment) {
    write_grid("[2, 4]", "[0, 1]");
    int killed = 0;
    for (int after = 20; after <= 700; after += 85)
        if (experiment({"--jobs", "2"}, after).code == 128 + 9) ++killed;
    EXPECT_GE(killed, 2) << "the grid is too short to be killed";
    const ProgramResult last = experiment();
    ASSERT_EQ(last.code, 0) << last.err;
    std::filesystem::rename(folder_.path("out"), folder_.path("killed"));
    ASSERT_EQ(experiment().code, 0);
    for (const char* cell : {"r8_shapes_k2_seed0", "r8_shapes_k4_seed1"})
        for (const char* method : {"neggrad", "adv"}) {
            const std::string file = std::string("/runs/") + cell + "/" + method + "/weights.safetensors";
            EXPECT_EQ(sha256_file(folder_.path("killed" + file)), sha256_file(folder_.path("out" + file))) << file;
        }
}

TEST_F(Experiment, ACellIsRunByOneProcessOnly) {
    write_grid("[2]", "[0]");
    ASSERT_EQ(experiment({"--launcher", "shell"}).code, 0);
    const int file = open(folder_.path("out/cells/r8_shapes_k2_seed0.json").c_str(), O_RDWR);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    ASSERT_EQ(fcntl(file, F_OFD_SETLK, &lock), 0);
    EXPECT_THAT(experiment().err, HasSubstr("another process is running it"));
    EXPECT_EQ(experiment({"--launcher", "shell"}).out, "") << "what runs is not to be submitted";
    ::close(file);
    EXPECT_EQ(experiment().code, 0);
}

TEST_F(Experiment, AChangedFileIsRefused) {
    write_grid("[2]", "[0]");
    ASSERT_EQ(experiment().code, 0);
    write_grid("[2]", "[0]", "lr = 0.5\n");
    for (const Arguments& further : {Arguments{}, {"--collect"}, {"--dry-run"}}) {
        const ProgramResult result = experiment(further);
        EXPECT_EQ(result.code, 1);
        EXPECT_THAT(result.err, AllOf(HasSubstr("r8_shapes_k2_seed0"), HasSubstr("lr = nothing"), HasSubstr("0.5")));
    }
    std::filesystem::create_directory(folder_.path("strangers"));
    write_text(folder_.path("strangers/thesis.txt"), "years of work");
    EXPECT_THAT(experiment({"--out", "strangers"}).err, HasSubstr("holds no experiment"));
}

TEST_F(Experiment, AFailingCellIsNamedAndTheOthersAreDone) {
    write_grid("[65, 2]", "[0]");  // there are 64 images
    const ProgramResult result = experiment();
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr("cell r8_shapes_k65_seed0 failed"), HasSubstr("65"),
                                  HasSubstr("1 of 2 cells failed (r8_shapes_k65_seed0)")));
    EXPECT_TRUE(finished("r8_shapes_k2_seed0"));
    EXPECT_EQ(results().at("missing").size(), 1u);
    EXPECT_THAT(read_text(folder_.path("out/logs/r8_shapes_k65_seed0.log")), HasSubstr("lethe: "));
}

TEST_F(Experiment, WhatUnlearnWouldNotTakeIsSaidBeforeAnythingRuns) {
    write_grid("[2]", "[0]", "lr = \"fast\"\n");
    const ProgramResult result = experiment();
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr("grid.toml"), HasSubstr("lr"), HasSubstr("fast")));
    EXPECT_FALSE(is_there(folder_.path("out")));
    write_grid("[2]", "[0]", "learning-rate = 1\n");
    EXPECT_THAT(experiment().err, AllOf(HasSubstr("grid.toml:15"), HasSubstr("'learning-rate'")));
    write_grid("[2]", "[0]");
    EXPECT_THAT(experiment({"--seed", "1"}).err, HasSubstr("--seed"));
    EXPECT_THAT(experiment({"--cell", "r8"}).err, HasSubstr("no cell 'r8'"));
    EXPECT_THAT(experiment({"--collect"}).err, HasSubstr("no cell"));
}

TEST_F(Experiment, TheShellLauncherPrintsACommandPerMissingCell) {
    write_grid("[2, 4]", "[0]");
    ASSERT_EQ(experiment({"--cell", "r8_shapes_k4_seed0"}).code, 0);
    EXPECT_FALSE(is_there(folder_.path("out/results.json"))) << "--cell collects nothing";
    const ProgramResult printed = experiment({"--launcher", "shell"});
    ASSERT_EQ(lines(printed.out).size(), 1u) << printed.out;
    EXPECT_THAT(lines(printed.out)[0], EndsWith("--cell r8_shapes_k2_seed0"));
    ASSERT_EQ(std::system((printed.out.substr(0, printed.out.size() - 1) + " >/dev/null").c_str()), 0);
    EXPECT_TRUE(finished("r8_shapes_k2_seed0"));
    EXPECT_EQ(experiment({"--launcher", "shell"}).out, "");
}

// An sbatch that runs the tasks of the array itself, the way Slurm would start them.
TEST_F(Experiment, TheSlurmLauncherSubmitsAnArrayOfMissingCells) {
    write_grid("[2, 4]", "[0, 1]");
    ASSERT_EQ(experiment({"--cell", "r8_shapes_k4_seed0"}).code, 0);
    write_program("bin/sbatch",
                  "#!/bin/bash\nlast=$(sed -n 's/^#SBATCH --array=0-//p' \"$1\")\n"
                  "for task in $(seq 0 \"$last\"); do SLURM_ARRAY_TASK_ID=$task bash \"$1\" || exit 1; done\n");
    const std::string path = std::getenv("PATH");
    setenv("PATH", (folder_.path("bin") + ":" + path).c_str(), 1);
    const ProgramResult submitted = experiment({"--launcher", "slurm", "--sbatch", "--time=00:10:00 --mem=1G"});
    const ProgramResult again = experiment({"--launcher", "slurm"});
    setenv("PATH", path.c_str(), 1);
    ASSERT_EQ(submitted.code, 0) << submitted.out << submitted.err;
    const std::string script = read_text(folder_.path("out/slurm/job-1.sh"));
    EXPECT_THAT(script, AllOf(HasSubstr("#SBATCH --array=0-2\n"), HasSubstr("#SBATCH --time=00:10:00 --mem=1G\n"),
                              Not(HasSubstr("k4_seed0")), HasSubstr("k4_seed1")));
    EXPECT_THAT(again.out, HasSubstr("nothing to submit"));
    ASSERT_EQ(experiment({"--collect"}).code, 0);
    EXPECT_EQ(results().at("missing").size(), 0u);
}

TEST_F(Experiment, TheReadyFilesAreGood) {
    const std::map<std::string, std::size_t> cells{{"cifar10-resnet18", 20},
                                                   {"cifar100-resnet50", 20},
                                                   {"imagenet-resnet50", 20},
                                                   {"cifar10-resnet20", 12},
                                                   {"cifar10-resnet20-reference", 3},
                                                   {"methods-resnet20", 1},
                                                   {"robust-resnet20", 15},
                                                   {"robust-others", 4},
                                                   {"robust-importance", 5},
                                                   {"switches-resnet20", 8},
                                                   {"synthetic", 6}};
    const std::filesystem::path ready = std::filesystem::path(LETHE_SOURCE_DIR) / "experiments";
    for (const auto& entry : std::filesystem::directory_iterator(ready)) {
        if (entry.path().extension() != ".toml") continue;
        const ProgramResult result = run_lethe({"experiment", entry.path(), "--dry-run"}, folder_.path());
        EXPECT_EQ(result.code, 0) << result.err;
        EXPECT_EQ(lines(result.out).size(), cells.at(entry.path().stem()) + 1) << entry.path();
    }
}

TEST_F(Experiment, TheLargestSetsComeFirst) {
    write_grid("[1, 2]", "[0]");
    const std::vector<std::string> commands = lines(experiment({"--launcher", "shell"}).out);
    ASSERT_EQ(commands.size(), 2u);
    EXPECT_THAT(commands[0], HasSubstr("_k2_"));
    EXPECT_THAT(commands[1], HasSubstr("_k1_"));
}

TEST_F(Experiment, WithoutSbatchItSaysSo) {
    write_grid("[2]", "[0]");
    const std::string path = std::getenv("PATH");
    setenv("PATH", folder_.path("nowhere").c_str(), 1);
    const ProgramResult result = experiment({"--launcher", "slurm"});
    setenv("PATH", path.c_str(), 1);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr("no sbatch here"));
}

}  // namespace
}  // namespace lethe::test
