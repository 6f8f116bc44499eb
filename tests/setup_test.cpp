// tools/setup with stand-ins for dpkg-query, id and apt-get, so that a test neither needs root nor installs anything.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Outcome {
    int exit_code;
    std::string output;
    std::string apt_calls;  // one line per call of apt-get: its arguments
};

class Setup : public testing::Test {
protected:
    void SetUp() override {
        // Every library is installed except what a test names in $LACKS.
        stand_in("dpkg-query", R"(for name in "$@"; do
    case $name in -*|*Status*) continue ;; esac
    case " $LACKS " in *" $name "*) ;; *) echo "installed $name" ;; esac
done)");
        stand_in("id", "echo $USER_ID");
        stand_in("apt-get", "echo \"$@\" >>'" + folder_.path("apt_calls") + "'");
    }

    Outcome run(const std::string& lacks, int user_id, const std::string& arguments = "") const {
        const std::string command = "LETHE_NVCC= LACKS='" + lacks + "' USER_ID=" + std::to_string(user_id) + " PATH='" +
                                    folder_.path() + "':\"$PATH\" '" LETHE_SOURCE_DIR "/tools/setup' " + arguments +
                                    " 2>&1";
        FILE* pipe = popen(command.c_str(), "r");
        std::string output;
        for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output += static_cast<char>(c);
        return {WEXITSTATUS(pclose(pipe)), output, contents("apt_calls")};
    }

private:
    void stand_in(const std::string& name, const std::string& body) const {
        const std::string path = folder_.path(name);
        std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    }
    std::string contents(const std::string& name) const {
        std::ostringstream text;
        std::ifstream in(folder_.path(name));
        if (in) text << in.rdbuf();
        return text.str();
    }

    TemporaryFolder folder_;
};

TEST_F(Setup, DoesNothingWhenNothingIsMissing) {
    const Outcome outcome = run("", 0);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.output, IsEmpty());
    EXPECT_THAT(outcome.apt_calls, IsEmpty());
}

TEST_F(Setup, InstallsOnlyWhatIsMissingAsRoot) {
    const Outcome outcome = run("libdnnl-dev libpng-dev", 0);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("Missing Debian packages: libdnnl-dev libpng-dev\n"));
    EXPECT_THAT(outcome.apt_calls,
                AllOf(HasSubstr("update\n"), HasSubstr(" libdnnl-dev libpng-dev\n"), Not(HasSubstr("libgtest-dev"))));
}

TEST_F(Setup, SaysWhichCommandToRunWithoutRoot) {
    const Outcome outcome = run("libzip-dev", 1000);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output,
                AllOf(HasSubstr("sudo sh -c 'apt-get update && apt-get install"), HasSubstr(" libzip-dev'\n")));
    EXPECT_THAT(outcome.apt_calls, IsEmpty());
}

TEST_F(Setup, ChecksPackagesNamedByTheCaller) {
    const Outcome outcome = run("clang-format", 0, "--check clang-format");
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output, HasSubstr("clang-format"));
    EXPECT_THAT(outcome.apt_calls, IsEmpty());
}

TEST_F(Setup, RefusesAnUnknownOption) {
    const Outcome outcome = run("", 0, "--force");
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.output, HasSubstr("unknown option --force"));
}

}  // namespace
}  // namespace lethe::test
