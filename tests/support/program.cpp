#include "tests/support/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "tensor/error.h"

namespace lethe::test {
namespace {

std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

void redirect(const std::string& path, int descriptor) {
    const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, descriptor);
    close(file);
}

[[noreturn]] void become_lethe(const std::vector<std::string>& arguments, const std::string& folder,
                               const std::string& log, int64_t file_limit) {
    redirect(log + ".out", STDOUT_FILENO);
    redirect(log + ".err", STDERR_FILENO);
    if (file_limit > 0) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{static_cast<rlim_t>(file_limit), static_cast<rlim_t>(file_limit)};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    std::vector<char*> argv{const_cast<char*>(LETHE_BINARY)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    if (chdir(folder.c_str()) == 0) execv(LETHE_BINARY, argv.data());
    _exit(127);
}

}  // namespace

ProgramResult run_lethe(const std::vector<std::string>& arguments, const std::string& folder, int kill_after_ms,
                        int64_t file_limit) {
    const std::string log = folder + "/.program";
    const pid_t child = fork();
    if (child == 0) become_lethe(arguments, folder, log, file_limit);
    int status = 0;
    rusage usage{};
    if (kill_after_ms >= 0) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kill_after_ms);
        while (wait4(child, &status, WNOHANG, &usage) == 0) {
            if (std::chrono::steady_clock::now() >= deadline) {
                kill(child, SIGKILL);
                wait4(child, &status, 0, &usage);
                break;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    } else {
        wait4(child, &status, 0, &usage);
    }
    ProgramResult result;
    result.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    result.peak_bytes = int64_t{usage.ru_maxrss} * 1024;
    result.out = contents(log + ".out");
    result.err = contents(log + ".err");
    return result;
}

void train_resnet8(const std::string& folder) {
    const ProgramResult trained = run_lethe(
        {"train", "--data", "synthetic:0:64:64", "--model", "resnet8", "--epochs", "1", "--out", "trained"}, folder);
    check(trained.code == 0, "test: no network was trained: ", trained.err);
}

}  // namespace lethe::test
