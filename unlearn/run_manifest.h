// The manifest of a run directory: the hash of every file in it, of what it was made from and of the program that made
// it. It is kept in manifest.json (docs/audit.md) and written last; whoever keeps a copy, or its hash, can tell later
// that nothing has changed since.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "unlearn/run_directory.h"

namespace lethe {

inline constexpr const char* manifest_file = "manifest.json";

// Files that are in no manifest: the manifest, signatures of it, and what `lethe audit`, `lethe measure` and `lethe
// report` write.
bool outside_manifest(const std::string& name);

// Lists and hashes the files in `run`; `inputs` is the run's inputs.json.
Json make_manifest(const std::filesystem::path& run, const Json& inputs);
// The same, written to manifest.json.
void write_manifest(const RunDirectory& run, const Json& inputs);

// What is wrong with the files of `run` by its manifest, one sentence each that names the file and, where contents
// differ, the bytes; empty: nothing. A manifest.json that is missing, damaged or not byte for byte as it is written is
// a sentence, too. Nothing outside of `run` is read, links are not followed. `manifest` gets what was read.
std::vector<std::string> manifest_findings(const std::filesystem::path& run, Json& manifest);

// SHA-256 of the program that is running.
std::string program_sha256();

}  // namespace lethe
