// Runs labs: checks every version, then, on a GPU, times those that are right.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "bench/labs/lab.h"

namespace LETHE_CUDA::labs {

struct RunOptions {
    std::vector<std::string> labs{};  // names; empty: all
    bool full = true;                 // the sizes that are timed: full or small
    int repeats = 20;
    std::string json{};    // a file for the results; "" writes none
    std::string broken{};  // the version whose results get a wrong element, to see that it is noticed
};

// Writes the results as text. Returns the number of versions that are wrong. Throws Error for an unknown lab, where
// there is no GPU (the emulator needs none), and where the file cannot be written.
int run_labs(const RunOptions& options, std::ostream& text);

}  // namespace LETHE_CUDA::labs
