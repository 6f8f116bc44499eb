// Every file of the fuzzers' corpus goes through its target, so that what was found once stays fixed, on any compiler.
#include <gmock/gmock.h>

#include <filesystem>

#include "data/file.h"
#include "fuzz/targets.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

namespace fs = std::filesystem;

const fs::path corpus = LETHE_SOURCE_DIR "/fuzz/corpus";

std::vector<fs::path> inputs_of(const std::string& target) {
    std::vector<fs::path> inputs;
    for (const auto& entry : fs::directory_iterator(corpus / target)) inputs.push_back(entry.path());
    return inputs;
}

class FuzzCorpus : public testing::TestWithParam<std::string> {};

TEST_P(FuzzCorpus, IsReadOrRefused) {
    const fuzz::Target& target = fuzz::target(GetParam());
    int accepted = 0, refused = 0;
    for (const fs::path& input : inputs_of(GetParam())) {
        SCOPED_TRACE(input);
        EXPECT_NO_THROW(++(fuzz::accepts(target, read_file(input)) ? accepted : refused));
    }
    EXPECT_GT(accepted, 0) << "nothing in " << corpus / GetParam() << " gets past the first checks";
    EXPECT_GT(refused, 0);
}

std::vector<std::string> names() {
    std::vector<std::string> list;
    for (const fuzz::Target& target : fuzz::targets()) list.push_back(target.name);
    return list;
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzCorpus, testing::ValuesIn(names()), [](const auto& test) { return test.param; });

TEST(FuzzCorpus, EveryFolderHasItsTarget) {
    for (const auto& entry : fs::directory_iterator(corpus)) EXPECT_NO_THROW(fuzz::target(entry.path().filename()));
}

TEST(FuzzCorpus, IsSmall) {
    uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(corpus))
        if (entry.is_regular_file()) bytes += entry.file_size();
    EXPECT_LT(bytes, 1'000'000u);
}

// The harness itself: only an Error with one line of text is a refusal.
TEST(FuzzTarget, OnlyAnErrorIsARefusal) {
    const auto outcome = [](void (*load)(fuzz::Bytes)) { return fuzz::accepts({"planted", load}, {}); };
    EXPECT_TRUE(outcome([](fuzz::Bytes) {}));
    EXPECT_FALSE(outcome([](fuzz::Bytes) { throw Error("too short"); }));
    EXPECT_THROW(outcome([](fuzz::Bytes) { throw Error(""); }), fuzz::Violation);
    EXPECT_THROW(outcome([](fuzz::Bytes) { throw Error("two\nlines"); }), fuzz::Violation);
    EXPECT_THROW(outcome([](fuzz::Bytes) { throw std::out_of_range("vector"); }), std::out_of_range);
    EXPECT_THROW(outcome([](fuzz::Bytes) { fuzz::require(false, "holds"); }), fuzz::Violation);
}

}  // namespace
}  // namespace lethe::test
