#include "data/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tensor/error.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<uint8_t> pattern(std::size_t size) {
    std::vector<uint8_t> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 251);
    return bytes;
}

std::size_t files_in(const std::string& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(File, ReadsBackWhatWasWritten) {
    const TemporaryFolder folder;
    for (const std::size_t size : {0u, 1u, 65536u, 10'000'001u}) {
        write_file(folder.path("data"), pattern(size));
        EXPECT_TRUE(read_file(folder.path("data")) == pattern(size)) << size;
    }
    write_text(folder.path("text"), "one\ntwo");
    EXPECT_EQ(read_text(folder.path("text")), "one\ntwo");
    EXPECT_EQ(files_in(folder.path()), 2u) << "temporary files are left";
}

TEST(File, ReadsFilesThatDoNotKnowTheirSize) { EXPECT_THAT(read_text("/proc/self/status"), HasSubstr("Pid:")); }

TEST(File, ReadingNamesTheFileAndTheReason) {
    const TemporaryFolder folder;
    EXPECT_THAT(error_of([&] { read_file(folder.path("absent")); }), HasSubstr("absent: cannot be read (No such file"));
    EXPECT_THAT(error_of([&] { read_file(folder.path()); }), HasSubstr("is a folder"));
    EXPECT_THAT(error_of([&] { read_file("/dev/zero"); }), HasSubstr("/dev/zero: is not a regular file"));
    EXPECT_THAT(error_of([&] { sha256_file(folder.path("absent")); }), HasSubstr("cannot be read"));
}

TEST(File, WritingNamesTheFileAndTheReason) {
    const TemporaryFolder folder;
    EXPECT_THAT(error_of([&] { write_text(folder.path("no/such/file"), "x"); }),
                HasSubstr("no/such/file: cannot be written (No such file or directory)"));
    EXPECT_THAT(error_of([&] { write_text(folder.path(), "x"); }), HasSubstr("is a folder"));
    EXPECT_THAT(error_of([&] { write_text("/dev/null", "x"); }), HasSubstr("not a regular file"));
    EXPECT_TRUE(fs::is_character_file("/dev/null"));
    EXPECT_EQ(files_in(folder.path()), 0u);
}

// Nobody's rights, for one scope, where the tests run as root, who may write everywhere.
class WithoutPrivileges {
public:
    WithoutPrivileges() : old_(geteuid()) {
        if (old_ == 0 && seteuid(65534) != 0) ADD_FAILURE() << "root cannot become nobody";
    }
    ~WithoutPrivileges() {
        if (seteuid(old_) != 0) ADD_FAILURE() << "nobody cannot become root again";
    }
    WithoutPrivileges(const WithoutPrivileges&) = delete;
    WithoutPrivileges& operator=(const WithoutPrivileges&) = delete;

private:
    uid_t old_;
};

TEST(File, WritingWithoutPermissionIsAnError) {
    const TemporaryFolder folder;
    write_text(folder.path("file"), "old");
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_exec);
    std::string error;
    {
        const WithoutPrivileges scope;
        error = error_of([&] { write_text(folder.path("file"), "new"); });
    }
    fs::permissions(folder.path(), fs::perms::owner_all);
    EXPECT_THAT(error, HasSubstr("file: cannot be written (Permission denied)"));
    EXPECT_EQ(read_text(folder.path("file")), "old");
    EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(File, WritingThroughALinkKeepsTheLink) {
    const TemporaryFolder folder;
    write_text(folder.path("real"), "old");
    fs::create_symlink("real", folder.path("link"));
    write_text(folder.path("link"), "new");
    EXPECT_TRUE(fs::is_symlink(folder.path("link")));
    EXPECT_EQ(read_text(folder.path("real")), "new");
}

// Makes files above `bytes` fail as on a full disk, for one scope.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &old_);
        const rlimit limit{bytes, old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, old_handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit old_{};
    void (*old_handler_)(int);
};

TEST(File, AFailedWriteLeavesTheOldFileAndNothingElse) {
    const TemporaryFolder folder;
    const std::string path = folder.path("file");
    write_text(path, "old contents");
    std::string error;
    {
        const FileSizeLimit limit(1000);
        error = error_of([&] { write_file(path, pattern(5000)); });
    }
    EXPECT_THAT(error, HasSubstr("cannot be written (File too large)"));
    EXPECT_EQ(read_text(path), "old contents");
    EXPECT_EQ(files_in(folder.path()), 1u) << "a temporary file is left";
}

// The examples of FIPS 180-2, appendix B, and the empty message.
TEST(File, Sha256OfPublishedMessages) {
    const auto hash = [](const std::string& text) { return sha256(std::vector<uint8_t>(text.begin(), text.end())); };
    EXPECT_EQ(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hash(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(File, Sha256OfAFileIsThatOfItsBytes) {
    const TemporaryFolder folder;
    write_file(folder.path("data"), pattern(5'000'000));
    EXPECT_EQ(sha256_file(folder.path("data")), sha256(pattern(5'000'000)));
}

TEST(LineLog, ContinuesBehindWhatACheckpointKnows) {
    const TemporaryFolder folder;
    const std::string path = folder.path("log");
    uint64_t known = 0;
    {
        LineLog log(path, 0);
        log.add("one");
        known = log.sync();
        EXPECT_EQ(known, 4u);
        log.add("two");
        log.sync();
        log.add("never written");
    }
    EXPECT_EQ(read_text(path), "one\ntwo\n");
    {
        LineLog log(path, known);
        EXPECT_EQ(log.sync(), known);
        log.add("2");
        EXPECT_EQ(log.sync(), 6u);
    }
    EXPECT_EQ(read_text(path), "one\n2\n");
    EXPECT_THAT(error_of([&] { LineLog(path, 7); }), testing::HasSubstr("shorter"));
    EXPECT_EQ(read_text(path), "one\n2\n");
    EXPECT_THAT(error_of([&] { LineLog(folder.path("no/log"), 0); }), testing::HasSubstr("cannot be written"));
    LineLog(path, 0).sync();
    EXPECT_EQ(read_text(path), "");
}

}  // namespace
}  // namespace lethe::test
