#include "unlearn/run_directory.h"

#include <ctime>
#include <fstream>

#include "data/file.h"
#include "data/weights.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

constexpr const char* config_file = "config.json";

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line))
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    return "unknown";
}

std::string now_utc() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

// True for an empty folder and for one whose first run was killed before its config.json was complete.
bool holds_only_beginnings(const std::filesystem::path& path) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
        const std::string name = entry.path().filename().string();
        if (name != "environment.json" && name.find(".json.tmp.") == std::string::npos) return false;
    }
    return true;
}

// Without the keys that change no result.
Json comparable(Json config, const std::vector<std::string>& free_keys) {
    for (const std::string& key : free_keys) config.erase(key);
    return config;
}

void check_same_run(const std::filesystem::path& path, const Json& old_config, const Json& config,
                    const std::vector<std::string>& free_keys) {
    const Json before = comparable(old_config, free_keys), wanted = comparable(config, free_keys);
    for (const auto& [key, value] : wanted.items()) {
        const Json old_value = before.contains(key) ? before.at(key) : Json();
        check(old_value == value, "run directory ", path.string(), " holds a run with ", key, " = ", old_value.dump(),
              ", this command has ", value.dump(), "; give another --out, or repeat the command it was made with");
    }
}

}  // namespace

RunDirectory::RunDirectory(const std::filesystem::path& path, const std::string& command, const Json& config,
                           const std::vector<std::string>& free_keys)
    : path_(path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    check(!error && std::filesystem::is_directory(path), "run directory ", path.string(),
          " cannot be created: ", error ? error.message() : "a file of that name is in the way");
    Json full{{"command", command}};
    full.update(config);
    if (has(config_file)) {
        check_same_run(path, read_json(config_file), full, free_keys);
        resumed_ = true;
        return;
    }
    check(holds_only_beginnings(path), "run directory ", path.string(),
          " is not empty and holds no run of Lethe; give another --out");
    const std::string device = config.contains("device") ? config.at("device").get<std::string>() : "cpu";
    write_json("environment.json", environment(device_named(device)));
    write_json(config_file, full);  // last: its presence says that the directory is a run
}

RunDirectory::RunDirectory(const std::filesystem::path& path) : path_(path), resumed_(true) {
    check(is_folder(path), "run directory ", path.string(), " is no folder; give the --out of a lethe unlearn");
}

bool RunDirectory::has(const std::string& name) const { return std::filesystem::exists(file(name)); }

void RunDirectory::write_json(const std::string& name, const Json& value) const {
    write_text(file(name), value.dump(2) + "\n");
}

Json RunDirectory::read_json(const std::string& name) const {
    try {
        return Json::parse(read_text(file(name)));
    } catch (const Json::exception& error) {
        fail(file(name).string(), " is not valid JSON (", error.what(), ")");
    }
}

Json environment(Device device) {
    return {{"lethe", LETHE_VERSION},        {"compiler", concat("g++ ", __VERSION__)},
            {"processor", processor_name()}, {"backend", backend(device).description()},
            {"threads", threads()},          {"time", now_utc()}};
}

void save_checkpoint(const std::filesystem::path& path, const StateDict& weights, const StateDict& optimizer,
                     const std::map<std::string, std::string>& numbers) {
    StateDict all;
    for (const auto& [name, tensor] : weights) all.emplace_back("weights/" + name, tensor);
    for (const auto& [name, tensor] : optimizer) all.emplace_back("optimizer/" + name, tensor);
    write_safetensors(path, all, numbers);
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
    WeightFile file = read_weights(path);
    Checkpoint checkpoint;
    checkpoint.numbers = std::move(file.metadata);
    for (const auto& [name, tensor] : file.state()) {
        if (name.starts_with("weights/"))
            checkpoint.weights.emplace_back(name.substr(8), tensor);
        else if (name.starts_with("optimizer/"))
            checkpoint.optimizer.emplace_back(name.substr(10), tensor);
        else
            fail(path.string(), " is not a checkpoint of Lethe: unexpected entry ", name);
    }
    return checkpoint;
}

}  // namespace lethe
