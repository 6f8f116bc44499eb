// Files: whole-file reads, atomic writes, content hashes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lethe {

// What is at `path`, links followed. Nothing is, too, where that cannot be told (no permission, too long a name): who
// opens it then says so.
bool is_there(const std::filesystem::path& path);
bool is_file(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

// Whole contents. Throws Error naming the file when it is missing, a folder, or unreadable.
std::vector<uint8_t> read_file(const std::filesystem::path& path);
std::string read_text(const std::filesystem::path& path);

// Writes to "<path>.tmp.<pid>", syncs, renames over path: readers see the old contents or the new ones, nothing
// between. Throws Error with the system's reason (full disk, no permission, missing folder); the temporary file is
// removed.
void write_file(const std::filesystem::path& path, std::span<const uint8_t> bytes);
void write_text(const std::filesystem::path& path, std::string_view text);

// The same for what is written in pieces. Everything throws Error as write_file does. Where `path` is a link, the file
// that it points to is written.
class NewFile {
public:
    explicit NewFile(const std::filesystem::path& path);
    ~NewFile();  // without commit() nothing is left
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    void write(std::span<const uint8_t> bytes);
    void commit();

private:
    [[noreturn]] void give_up(int error) const;

    std::filesystem::path path_, target_, temporary_;
    int file_ = -1;
    bool committed_ = false;
};

// A new folder where the system keeps temporary files, gone with everything in it at the end of the scope.
class TemporaryFolder {
public:
    explicit TemporaryFolder(const std::string& prefix);  // of its name; throws Error with the system's reason
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// What the system says of an errno.
std::string system_reason(int error);

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
