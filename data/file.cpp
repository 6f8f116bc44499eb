#include "data/file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

// A file descriptor that closes itself.
class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return fd_; }

private:
    int fd_;
};

void check_readable_kind(const fs::path& path, const struct stat& info) {
    check(!S_ISDIR(info.st_mode), path.string(), ": is a folder, a file is needed");
    check(S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode), path.string(), ": is not a regular file");
}

// Calls consume(bytes) for one chunk after the other until the end of the file.
template <class Consume>
void for_each_chunk(const fs::path& path, Consume&& consume) {
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    check(file.get() >= 0, path.string(), ": cannot be read (", system_reason(errno), ")");
    struct stat info {};
    check(::fstat(file.get(), &info) == 0, path.string(), ": cannot be read (", system_reason(errno), ")");
    check_readable_kind(path, info);
    std::vector<uint8_t> chunk(static_cast<std::size_t>(std::clamp<int64_t>(info.st_size + 1, 1 << 16, 1 << 22)));
    for (;;) {
        const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        check(got >= 0, path.string(), ": cannot be read (", system_reason(errno), ")");
        if (got == 0) return;
        consume(std::span<const uint8_t>(chunk.data(), static_cast<std::size_t>(got)));
    }
}

// Writes everything. Returns 0 or the error number.
int write_all(int file, std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(file, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return 0;
}

// The rename itself is on the disk only once its folder is. Not every file system can do that; it is not an error.
void sync_folder(const fs::path& folder) {
    const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.get() >= 0) static_cast<void>(::fsync(descriptor.get()));
}

// Renaming over a symbolic link would replace the link, over /dev/null the device: follow the one, refuse the other.
fs::path write_target(const fs::path& path) {
    std::error_code ignored;
    const fs::path target = fs::is_symlink(path, ignored) ? fs::weakly_canonical(path, ignored) : path;
    const fs::file_status status = fs::status(target, ignored);
    check(status.type() != fs::file_type::directory, path.string(), ": is a folder, cannot be written as a file");
    check(!fs::exists(status) || fs::is_regular_file(status), path.string(),
          ": is not a regular file, it will not be replaced");
    return target.empty() ? path : target;
}

using DigestContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

// Once. OpenSSL would else read its configuration, which SHA-256 does not need, and clean up before the pool's threads
// have ended, whose share of it would then be lost.
void initialize_openssl() {
    static const int once = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
    check(once == 1, "sha256: OpenSSL cannot be used");
}

class Sha256 {
public:
    Sha256() : context_((initialize_openssl(), EVP_MD_CTX_new()), &EVP_MD_CTX_free) {
        check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
              "sha256: OpenSSL does not offer SHA-256");
    }
    void add(std::span<const uint8_t> bytes) {
        check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "sha256: OpenSSL failed");
    }
    std::string hex() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned int size = 0;
        check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1, "sha256: OpenSSL failed");
        static constexpr char digits[] = "0123456789abcdef";
        std::string text;
        for (unsigned int i = 0; i < size; ++i) {
            text += digits[digest[i] >> 4];
            text += digits[digest[i] & 15];
        }
        return text;
    }

private:
    DigestContext context_;
};

}  // namespace

TemporaryFolder::TemporaryFolder(const std::string& prefix) {
    const std::filesystem::path where = std::filesystem::temp_directory_path();
    constexpr std::size_t drawn = 6;  // letters that mkdtemp() chooses
    std::string pattern = (where / (prefix + "-" + std::string(drawn, 'X'))).string();
    check(::mkdtemp(pattern.data()) != nullptr, where.string(), ": no folder can be made in it (", system_reason(errno),
          ")");
    path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string system_reason(int error) { return std::generic_category().message(error); }

bool is_there(const fs::path& path) {
    std::error_code unknown;
    return fs::exists(path, unknown);
}

bool is_file(const fs::path& path) {
    std::error_code unknown;
    return fs::is_regular_file(path, unknown);
}

bool is_folder(const fs::path& path) {
    std::error_code unknown;
    return fs::is_directory(path, unknown);
}

std::vector<uint8_t> read_file(const fs::path& path) {
    std::vector<uint8_t> bytes;
    for_each_chunk(path,
                   [&](std::span<const uint8_t> chunk) { bytes.insert(bytes.end(), chunk.begin(), chunk.end()); });
    return bytes;
}

std::string read_text(const fs::path& path) {
    const std::vector<uint8_t> bytes = read_file(path);
    return {bytes.begin(), bytes.end()};
}

NewFile::NewFile(const fs::path& path) : path_(path) {
    check(!path.empty() && path.has_filename(), "cannot write a file with an empty name");
    target_ = write_target(path);
    temporary_ = target_;
    temporary_ += ".tmp." + std::to_string(::getpid());
    file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) give_up(errno);
}

NewFile::~NewFile() {
    if (file_ >= 0) ::close(file_);
    if (!committed_) ::unlink(temporary_.c_str());
}

void NewFile::give_up(int error) const { fail(path_.string(), ": cannot be written (", system_reason(error), ")"); }

void NewFile::write(std::span<const uint8_t> bytes) {
    if (const int error = write_all(file_, bytes); error != 0) give_up(error);
}

void NewFile::commit() {
    if (::fsync(file_) != 0) give_up(errno);
    const int closed = ::close(std::exchange(file_, -1));  // some file systems report a failed write only here
    if (closed != 0 || ::rename(temporary_.c_str(), target_.c_str()) != 0) give_up(errno);
    committed_ = true;
    sync_folder(target_.has_parent_path() ? target_.parent_path() : fs::path("."));
}

void write_file(const fs::path& path, std::span<const uint8_t> bytes) {
    NewFile file(path);
    file.write(bytes);
    file.commit();
}

void write_text(const fs::path& path, std::string_view text) {
    std::vector<uint8_t> bytes(text.size());
    std::copy(text.begin(), text.end(), bytes.begin());
    write_file(path, bytes);
}

LineLog::LineLog(const fs::path& path, uint64_t keep) : path_(path), size_(keep) {
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    check(file_ >= 0, path.string(), ": cannot be written (", system_reason(errno), ")");
    struct stat info {};
    const bool known = ::fstat(file_, &info) == 0;
    const bool whole = known && static_cast<uint64_t>(info.st_size) >= keep;
    const bool cut = whole && ::ftruncate(file_, static_cast<off_t>(keep)) == 0;
    const std::string problem = cut               ? ""
                                : known && !whole ? "it is shorter than its checkpoint says"
                                                  : system_reason(errno);
    if (!cut) ::close(file_);
    check(cut, path.string(), ": cannot be continued (", problem, ")");
}

LineLog::~LineLog() { ::close(file_); }

void LineLog::add(std::string_view line) {
    pending_ += line;
    pending_ += '\n';
}

uint64_t LineLog::sync() {
    if (pending_.empty()) return size_;
    int error = write_all(file_, {reinterpret_cast<const uint8_t*>(pending_.data()), pending_.size()});
    if (error == 0 && ::fsync(file_) != 0) error = errno;
    check(error == 0, path_.string(), ": cannot be written (", system_reason(error), ")");
    size_ += pending_.size();
    pending_.clear();
    return size_;
}

std::string sha256(std::span<const uint8_t> bytes) {
    Sha256 hash;
    hash.add(bytes);
    return hash.hex();
}

std::string sha256_file(const fs::path& path) {
    Sha256 hash;
    for_each_chunk(path, [&](std::span<const uint8_t> chunk) { hash.add(chunk); });
    return hash.hex();
}

}  // namespace lethe
