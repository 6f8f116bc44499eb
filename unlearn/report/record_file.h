// Reading one file of a run, with errors that name it.
#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>

#include "data/file.h"
#include "tensor/error.h"
#include "unlearn/metrics.h"
#include "unlearn/run_directory.h"

namespace lethe::report {

// Calls take(json) with the file's contents. Throws Error naming the file where it is missing, is no JSON, or take()
// does not find in it what it looks for.
template <class Take>
void read_record(const std::filesystem::path& folder, const std::string& name, Take&& take) {
    const RunDirectory directory(folder);
    check(directory.has(name), "report: ", folder.string(), " has no ", name, "; without it there is nothing to tell");
    const Json json = directory.read_json(name);
    try {
        take(json);
    } catch (const Json::exception& error) {
        fail("report: ", directory.file(name).string(), " is damaged or of another version (", error.what(), ")");
    }
}

// The same for a file that need not be there: then nothing is called.
template <class Take>
void read_optional_record(const std::filesystem::path& folder, const std::string& name, Take&& take) {
    if (is_there(folder / name)) read_record(folder, name, take);
}

// The folder's last name: "." and "runs/a/" have one, too.
inline std::string name_of(const std::filesystem::path& folder) {
    std::error_code ignored;
    const std::filesystem::path full = std::filesystem::weakly_canonical(folder, ignored);
    const std::string name = full.filename().string();
    return name.empty() ? folder.string() : name;
}

inline double number_or_nan(const Json& json) { return json.is_null() ? std::nan("") : json.get<double>(); }

inline std::optional<int64_t> integer_or_none(const Json& json) {
    if (json.is_null()) return std::nullopt;
    return json.get<int64_t>();
}

inline Accuracy accuracy_from(const Json& json) { return {json.at("correct"), json.at("total")}; }

}  // namespace lethe::report
