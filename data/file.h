// Files: whole-file reads, atomic writes, content hashes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lethe {

// Whole contents. Throws Error naming the file when it is missing, a folder, or unreadable.
std::vector<uint8_t> read_file(const std::filesystem::path& path);
std::string read_text(const std::filesystem::path& path);

// Writes to "<path>.tmp.<pid>", syncs, renames over path: readers see the old contents or the new ones, nothing
// between. Throws Error with the system's reason (full disk, no permission, missing folder); the temporary file is
// removed.
void write_file(const std::filesystem::path& path, std::span<const uint8_t> bytes);
void write_text(const std::filesystem::path& path, std::string_view text);

// The two halves of that, for what is written in pieces: the temporary name beside `path` (where it is a link, beside
// what it points to; throws Error where a file cannot be), and the rename, which removes the temporary file on failure.
std::filesystem::path temporary_beside(const std::filesystem::path& path);
void put_in_place(const std::filesystem::path& temporary, const std::filesystem::path& path);

// A text file that grows line by line: a trace. What was added is certainly in the file after sync() only.
class LineLog {
public:
    // Continues `path` behind its first `keep` bytes and drops what follows them; 0: begins anew. Throws Error when the
    // file cannot be written or is shorter.
    LineLog(const std::filesystem::path& path, uint64_t keep);
    ~LineLog();
    LineLog(const LineLog&) = delete;
    LineLog& operator=(const LineLog&) = delete;

    void add(std::string_view line);  // without its newline
    uint64_t sync();                  // returns the file's size; throws Error with the system's reason

private:
    std::filesystem::path path_;
    int file_ = -1;
    uint64_t size_ = 0;
    std::string pending_;
};

// Lower-case hexadecimal SHA-256.
std::string sha256(std::span<const uint8_t> bytes);
std::string sha256_file(const std::filesystem::path& path);

}  // namespace lethe
