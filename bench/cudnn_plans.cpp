// Lists the cuDNN plans behind every convolution of the models, for a GPU that need not be here.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/support/cudnn_keys.h"
#include "cuda/cudnn/convolution.h"
#include "cuda/cudnn/library.h"
#include "tensor/error.h"

namespace lethe {
namespace {

using cuda::PlanReport;

struct Options {
    std::string device = LETHE_SOURCE_DIR "/cuda/cudnn/h200.json";
    std::string json;
    int64_t images = 128;
};

std::string read_device(const std::string& path) {
    if (path == "this") return cuda::device_properties_json();
    std::ifstream file(path);
    check(file.good(), "cannot read ", path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void print(const cuda::ConvolutionKey& key, const PlanReport& report) {
    std::cout << std::left << std::setw(86) << cuda::describe(key) << std::right << std::setw(4) << report.proposals
              << "  " << std::left << std::setw(10) << cuda::name(report.state) << std::right << std::setw(12)
              << report.workspace_bytes << "  " << report.plan << (report.compiled_at_run_time ? " (run time)" : "")
              << "\n";
}

nlohmann::json to_json(const PlanReport& report) {
    nlohmann::json entry{{"state", cuda::name(report.state)},
                         {"proposals", report.proposals},
                         {"plan", report.plan},
                         {"compiled_at_run_time", report.compiled_at_run_time}};
    if (report.state == PlanReport::State::built) entry["workspace_bytes"] = report.workspace_bytes;
    return entry;
}

void list_plans(const Options& options) {
    if (!bench::load_driver_or_stub())
        std::cout << "neither libcuda.so.1 nor its stub was found: kernels compiled at run time are not listed\n";
    const std::string device = read_device(options.device);
    nlohmann::json document{{"cudnn", cuda::cudnn_version()}, {"images", options.images}};
    document["device"] = nlohmann::json::parse(device);
    std::map<cuda::ConvolutionKey, PlanReport> reports;  // networks share convolutions
    for (const bench::Network& network : bench::networks()) {
        const std::string title = concat(network.arch, " ", network.stem, " ", network.size, "x", network.size);
        std::cout << title << "\n";
        for (const cuda::ConvolutionKey& key : bench::keys_of(network, options.images)) {
            const auto [entry, added] = reports.try_emplace(key);
            if (added) entry->second = cuda::plan_without_device(key, device);
            print(key, entry->second);
            document["networks"][title][cuda::describe(key)] = to_json(entry->second);
        }
    }
    if (options.json.empty()) return;
    std::ofstream file(options.json);
    file << document.dump(1) << "\n";
    file.close();
    check(file.good(), "cannot write ", options.json);
}

}  // namespace
}  // namespace lethe

int main(int argc, char** argv) {
    lethe::Options options;
    CLI::App app(
        "cuDNN plans of every convolution of the models; columns: convolution, proposals, state, workspace "
        "in bytes, first plan");
    app.add_option("--device", options.device, "device properties (JSON), or \"this\" for the GPU of this machine")
        ->capture_default_str();
    app.add_option("--images", options.images, "images in a batch")->capture_default_str();
    app.add_option("--json", options.json, "also write the table to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        lethe::list_plans(options);
    } catch (const std::exception& error) {
        std::cerr << "lethe_cudnn_plans: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
