// A run directory: what a run leaves on disk, written so that a kill at any moment loses at most a few seconds.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nn/model.h"
#include "unlearn/unlearn.h"

namespace lethe {

using Json = nlohmann::ordered_json;

// Files are written to a temporary name and renamed. See docs/guide.md for each file's contents.
class RunDirectory {
public:
    // Creates `path`, or opens it to continue. Throws Error when it cannot be created, holds something that is not a
    // run of this command, or a run whose configuration differs: the message names the first differing key. Keys in
    // `free_keys` may differ (threads, output verbosity: they change no result).
    RunDirectory(const std::filesystem::path& path, const std::string& command, const Json& config,
                 const std::vector<std::string>& free_keys);
    // Opens a run to read it; nothing is written. Throws Error when `path` is no folder.
    explicit RunDirectory(const std::filesystem::path& path);

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path file(const std::string& name) const { return path_ / name; }
    bool has(const std::string& name) const;
    bool resumed() const { return resumed_; }

    void write_json(const std::string& name, const Json& value) const;
    Json read_json(const std::string& name) const;  // throws Error naming the file when it is not JSON

private:
    std::filesystem::path path_;
    bool resumed_ = false;
};

// Where and with what this program runs: version, compiler, processor, backend, threads, time.
Json environment(Device device);

// Checkpoints: a StateDict per part and numbers, in one safetensors file.
void save_checkpoint(const std::filesystem::path& path, const StateDict& weights, const StateDict& optimizer,
                     const std::map<std::string, std::string>& numbers);
struct Checkpoint {
    StateDict weights, optimizer;
    std::map<std::string, std::string> numbers;
};
Checkpoint load_checkpoint(const std::filesystem::path& path);

}  // namespace lethe
