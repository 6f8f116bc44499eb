// tools/gpu_check as far as it goes without a GPU: its refusals, its rehearsal, what a bundle would hold, its parts.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Outcome {
    int exit_code;
    std::string output;
};

Outcome run(const std::string& command) {
    FILE* pipe = popen(("cd '" LETHE_SOURCE_DIR "' && " + command + " 2>&1").c_str(), "r");
    std::string output;
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output += static_cast<char>(c);
    return {WEXITSTATUS(pclose(pipe)), output};
}

class GpuCheck : public testing::Test {
protected:
    void SetUp() override {
        if (run("python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'").exit_code != 0)
            GTEST_SKIP() << "needs Python 3.9";
    }
};

TEST_F(GpuCheck, WithoutAGpuSaysSoInOneSentence) {
    // The empty list hides the GPUs of a machine that has some.
    const Outcome outcome = run("CUDA_VISIBLE_DEVICES= tools/gpu_check");
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output, AllOf(StartsWith("gpu_check: there is no NVIDIA GPU here"), EndsWith("\n")));
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
}

TEST_F(GpuCheck, RefusesWhatItDoesNotKnow) {
    const Outcome stage = run("tools/gpu_check --only tests,lunch");
    EXPECT_EQ(stage.exit_code, 2);
    EXPECT_THAT(stage.output, AllOf(HasSubstr("no stage is called lunch"), HasSubstr("sanitizer")));
    const Outcome build = run("tools/gpu_check --rehearse --build-dir /nowhere");
    EXPECT_EQ(build.exit_code, 1);
    EXPECT_THAT(build.output, HasSubstr("there is no build in /nowhere"));
}

TEST_F(GpuCheck, ListsWhatABundleWouldHold) {
    const Outcome outcome = run("tools/gpu_check --bundle --dry-run");
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("lethe_step_bench"), HasSubstr(" device_pgd_step_test "),
                                      HasSubstr("bench/compare_pytorch_gpu.py"), Not(HasSubstr("gpu_check_test"))));
}

TEST_F(GpuCheck, ARehearsalIsNoResult) {
    const TemporaryFolder folder;
    const std::filesystem::path build = std::filesystem::path(LETHE_BINARY).parent_path().parent_path();
    const Outcome outcome = run("tools/gpu_check --rehearse --only environment --build-dir '" + build.string() +
                                "' --out '" + folder.path("made-up") + "'");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    std::ostringstream summary;
    summary << std::ifstream(folder.path("made-up/summary.md")).rdbuf();
    EXPECT_THAT(summary.str(), HasSubstr("No GPU took part: nothing here is a result."));
}

TEST_F(GpuCheck, SlowPartsDoWhatTheySay) {
    const Outcome outcome = run("python3 -B tests/gpu_check_parts.py");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, EndsWith("\nOK\n"));
}

}  // namespace
}  // namespace lethe::test
