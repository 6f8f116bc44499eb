// Runs the `lethe` program as a person would.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lethe::test {

struct ProgramResult {
    int code = 0;            // exit code; 128 + n when ended by signal n
    int64_t peak_bytes = 0;  // the most memory it had in the machine
    std::string out, err;
};

// Runs build/.../lethe with `arguments` in `folder`. kill_after_ms >= 0: sends SIGKILL then, unless it has ended.
// file_limit > 0: no file may grow beyond so many bytes, which is how a full disk looks to a program.
ProgramResult run_lethe(const std::vector<std::string>& arguments, const std::string& folder, int kill_after_ms = -1,
                        int64_t file_limit = 0);

// Trains (hardly) a resnet8 on "synthetic:0:64:64" in `folder`, as trained/weights.safetensors. Throws Error where that
// fails.
void train_resnet8(const std::string& folder);

}  // namespace lethe::test
