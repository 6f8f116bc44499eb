#include "unlearn/run_manifest.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <span>

#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

constexpr const char* manifest_format = "lethe run manifest, version 1";
// Each piece of a larger file has a hash of its own, which tells where a file was changed.
constexpr int64_t piece_bytes = int64_t{256} << 10;

std::string text_sha256(const std::string& text) {
    return sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

std::vector<std::string> piece_hashes(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::vector<std::string> hashes;
    std::vector<uint8_t> piece(static_cast<std::size_t>(piece_bytes));
    while (in) {
        in.read(reinterpret_cast<char*>(piece.data()), piece_bytes);
        if (in.gcount() > 0) hashes.push_back(sha256(std::span(piece).first(static_cast<std::size_t>(in.gcount()))));
    }
    return hashes;
}

Json record_of(const fs::path& path, const std::string& name) {
    const auto bytes = static_cast<int64_t>(fs::file_size(path));
    Json record{{"name", name}, {"bytes", bytes}, {"sha256", sha256_file(path)}};
    if (bytes > piece_bytes) record["pieces"] = piece_hashes(path);
    return record;
}

// Everything below `run` that is no folder, sorted by its name relative to it.
std::vector<std::string> names_in(const fs::path& run) {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(run)) {
        const std::string name = entry.path().lexically_relative(run).generic_string();
        if ((entry.is_symlink() || !entry.is_directory()) && !outside_manifest(name)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string format_manifest(const Json& manifest) { return manifest.dump(2) + "\n"; }

// The manifest's own hash is of its text without it.
Json sealed(Json manifest) {
    manifest.erase("sha256");
    manifest["sha256"] = text_sha256(format_manifest(manifest));
    return manifest;
}

Json read_manifest(const fs::path& path) {
    const std::string text = read_text(path);
    const Json manifest = Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
        check(depth <= 8, manifest_file, " is nested deeper than a manifest is");
        return true;
    });
    check(manifest.at("format") == manifest_format, manifest_file, " is not a ", manifest_format);
    check(format_manifest(sealed(manifest)) == text, manifest_file,
          " was changed after the run ended: its own hash or its form is not what lethe writes");
    return manifest;
}

// "bytes 0 to 262143" of each piece whose hash differs.
std::string changed_bytes(const Json& listed, const Json& found) {
    const auto bytes = found.at("bytes").get<int64_t>();
    if (!found.contains("pieces")) return concat("bytes 0 to ", bytes - 1);
    std::string text;
    for (std::size_t i = 0; i < found.at("pieces").size(); ++i) {
        if (listed.contains("pieces") && listed.at("pieces").at(i) == found.at("pieces").at(i)) continue;
        const auto begin = static_cast<int64_t>(i) * piece_bytes;
        text += concat(text.empty() ? "bytes " : ", ", begin, " to ", std::min(bytes, begin + piece_bytes) - 1);
    }
    return text;
}

// Empty when the file is as listed.
std::string difference(const fs::path& run, const std::string& name, const Json& listed) {
    const fs::file_status status = fs::symlink_status(run / name);
    if (!fs::is_regular_file(status)) return name + " is no plain file";
    const auto bytes = static_cast<int64_t>(fs::file_size(run / name));
    if (listed.at("bytes") != bytes)
        return concat(name, " has ", bytes, " bytes, ", manifest_file, " says ", listed.at("bytes").dump());
    const Json found = record_of(run / name, name);
    if (found == listed) return "";
    return concat(name, " is not the file that the run wrote: another SHA-256 in ", changed_bytes(listed, found));
}

}  // namespace

bool outside_manifest(const std::string& name) {
    static const std::array known{"manifest.json",         "manifest.json.asc", "manifest.json.sig",
                                  "manifest.json.minisig", "certificate.json",  "certificate.html",
                                  "metrics.json",          "drift.png",         "report.html"};  // made later
    return std::find(known.begin(), known.end(), name) != known.end();
}

Json make_manifest(const fs::path& run, const Json& inputs) {
    Json files = Json::array();
    for (const std::string& name : names_in(run)) {
        check(fs::is_regular_file(fs::symlink_status(run / name)), "run directory ", run.string(), ": ", name,
              " is no plain file, which a run does not write; remove it");
        files.push_back(record_of(run / name, name));
    }
    return sealed({{"format", manifest_format},
                   {"lethe", LETHE_VERSION},
                   {"program_sha256", program_sha256()},
                   {"inputs", inputs},
                   {"piece_bytes", piece_bytes},
                   {"files", files}});
}

void write_manifest(const RunDirectory& run, const Json& inputs) {
    write_text(run.file(manifest_file), format_manifest(make_manifest(run.path(), inputs)));
}

std::vector<std::string> manifest_findings(const fs::path& run, Json& manifest) {
    std::vector<std::string> findings;
    try {
        manifest = read_manifest(run / manifest_file);
        std::map<std::string, Json> listed;
        for (const Json& record : manifest.at("files")) listed[record.at("name")] = record;
        for (const std::string& name : names_in(run)) {
            const auto found = listed.find(name);
            if (found == listed.end()) {
                findings.push_back(concat(name, " is not in ", manifest_file, ": it was added after the run ended"));
                continue;
            }
            if (const std::string text = difference(run, name, found->second); !text.empty()) findings.push_back(text);
            listed.erase(found);
        }
        for (const auto& [name, record] : listed) findings.push_back(name + " is missing");
    } catch (const Json::exception& error) {
        findings.push_back(concat(manifest_file, " is not one that lethe writes (", error.what(), ")"));
    } catch (const Error& error) {
        findings.push_back(error.what());
    }
    return findings;
}

std::string program_sha256() {
    static const std::string hash = sha256_file("/proc/self/exe");
    return hash;
}

}  // namespace lethe
