// lethe_labs, and lethe_labs_emulated where the kernels run without a GPU.
#include <CLI/CLI.hpp>
#include <iostream>

#include "bench/labs/run.h"
#include "tensor/error.h"

namespace LETHE_CUDA::labs {
namespace {

void list() {
    for (const Lab& lab : all_labs()) {
        std::cout << lab.name << ": " << lab.about << "\n";
        for (const Version& version : lab.problem(lab.odd.front()).versions)
            std::cout << "  " << version.name << "  " << version.idea << "\n";
    }
}

void need_gpu() {
    int count = 0;
    check(is_emulated || (cudaGetDeviceCount(&count) == cudaSuccess && count > 0),
          "there is no NVIDIA GPU here to time kernels on; lethe_labs_emulated checks the same kernels without one");
}

int run(int argc, char** argv) {
    CLI::App app(is_emulated ? "Kernels from naive to shipped, each checked under emulation; nothing is timed"
                             : "Kernels from naive to shipped, each checked, then timed against this GPU's ceilings");
    RunOptions options;
    std::string size = "full";
    app.add_option("--lab", options.labs, "only these (--list names them)");
    bool list_only = false;
    app.add_flag("--list", list_only, "name the labs with their versions, and run nothing");
    app.add_option("--json", options.json, "also write the results to this file");
    app.add_option("--break", options.broken)->group("");  // hidden: see RunOptions::broken
    if (!is_emulated) {
        app.add_option("--size", size, "sizes to time")->check(CLI::IsMember({"small", "full"}))->capture_default_str();
        app.add_option("--repeats", options.repeats, "samples per version")
            ->check(CLI::Range(3, 1000))
            ->capture_default_str();
    }
    CLI11_PARSE(app, argc, argv);
    if (list_only) {
        list();
        return 0;
    }
    need_gpu();
    options.full = size == "full";
    const int wrong = run_labs(options, std::cout);
    if (wrong > 0) std::cout << "\nversions that are wrong: " << wrong << "\n";
    return wrong > 0 ? 1 : 0;
}

}  // namespace
}  // namespace LETHE_CUDA::labs

int main(int argc, char** argv) {
    try {
        return LETHE_CUDA::labs::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "lethe_labs: " << error.what() << "\n";
        return 1;
    }
}
