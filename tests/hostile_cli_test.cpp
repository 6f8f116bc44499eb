// Weight files made to do harm, given to the program as a person would: one sentence, exit code 1, nothing written, and
// little memory. What the loaders say of many more of them: hostile_file_test.cpp.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "data/archive.h"
#include "data/file.h"
#include "tests/support/compare.h"
#include "tests/support/memory.h"
#include "tests/support/program.h"

namespace lethe::test {
namespace {

using namespace std::string_literals;

struct Hostile {
    const char* name;
    const char* refusal;  // what the program says about it
    std::string file;
};

std::string raw(uint64_t value) {
    std::string text(sizeof value, '\0');
    std::memcpy(text.data(), &value, sizeof value);
    return text;
}

std::string repeat(const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
}

std::string safetensors(const std::string& header) { return raw(header.size()) + header; }

// What torch.save once put before an object's pickle: magic number, protocol version, system.
std::string legacy(const std::string& object) {
    return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."s + object;
}

std::string archive(const std::string& name) {
    const std::vector<uint8_t> nothing(4);
    const std::vector<uint8_t> bytes = format_archive({{"model/data.pkl", nothing}, {name, nothing}});
    return {bytes.begin(), bytes.end()};
}

std::vector<Hostile> hostile_files() {
    constexpr int million = 1'000'000;
    const std::string nested = repeat("[", million) + repeat("]", million);
    return {
        {"nested_tuples", "nested more than 1000 deep", legacy(")" + repeat("\x85", million) + ".")},
        {"nested_lists", "100000 values on its stack", legacy(repeat("]", million) + repeat("a", million - 1) + ".")},
        {"nested_json", "nested too deeply", safetensors("{\"w\":" + nested + "}")},
        {"long_text", "9223372036854775808 bytes are needed", legacy("\x8d" + raw(uint64_t{1} << 63))},
        {"long_header", "claims 9223372036854775808 bytes", raw(uint64_t{1} << 63) + "{}"},
        {"long_axis", "absurd shape",
         safetensors(R"({"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,0]}})")},
        {"recursive_dictionary", "one that contains itself",
         // d = {}; d["model"] = d
         legacy("}q\x01X\x05\x00\x00\x00modelh\x01s.](e."s)},
        {"path_up", "points out of the archive", archive("model/../../.bashrc")},
        {"path_absolute", "points out of the archive", archive("/etc/passwd")},
        {"path_backslash", "points out of the archive", archive("model\\..\\..\\x")},
    };
}

class HostileCli : public testing::TestWithParam<std::string> {};

TEST_P(HostileCli, EndsInOneSentenceAndLittleMemory) {
    TemporaryFolder folder;
    const auto run = [&](const std::string& file) {
        return GetParam() == "inspect"
                   ? run_lethe({"inspect", file}, folder.path())
                   : run_lethe({"convert", "--weights", file, "--out", "out.safetensors"}, folder.path());
    };
    const int64_t usual_peak = run("missing").peak_bytes;
    ASSERT_GT(usual_peak, mebibyte);
    for (const Hostile& hostile : hostile_files()) {
        std::ofstream(folder.path(hostile.name), std::ios::binary) << hostile.file;
        const ProgramResult result = run(hostile.name);
        EXPECT_EQ(result.code, 1) << hostile.name;
        EXPECT_THAT(result.err, testing::StartsWith("lethe: "s + hostile.name + ": ")) << hostile.name;
        EXPECT_THAT(result.err, testing::HasSubstr(hostile.refusal)) << hostile.name;
        EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << "one line, not: " << result.err;
        EXPECT_LT(result.err.size(), 400u) << hostile.name;
        EXPECT_LT(result.peak_bytes - usual_peak, 64 * mebibyte * sanitizer_overhead) << hostile.name;
        EXPECT_FALSE(std::filesystem::exists(folder.path("out.safetensors"))) << hostile.name;
    }
}

// Control characters would move the cursor, change colours, or add lines that look like the program's own.
TEST(HostileCli, InspectShowsNoControlCharacters) {
    TemporaryFolder folder;
    const std::string name = R"(\u001b[2J\nlethe: all is well\r\u0007)";
    std::ofstream(folder.path("names"), std::ios::binary)
        << safetensors("{\"__metadata__\":{\"" + name + "\":\"" + name + "\"},\"" + name +
                       R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})")
        << std::string(4, '\0');
    const ProgramResult result = run_lethe({"inspect", "names"}, folder.path());
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, testing::HasSubstr("?[2J?lethe: all is well??"));
    for (const char c : result.out) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << static_cast<int>(c);
    EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 4) << result.out;
}

// Names in PyTorch's files may be any bytes, JSON's may not.
TEST(HostileCli, InspectWritesJsonOfNamesThatAreNotUtf8) {
    TemporaryFolder folder;
    std::string file = read_text(LETHE_SOURCE_DIR "/tests/golden/weights/dtypes.legacy.pt");
    const std::size_t name = file.find("scalar");
    ASSERT_NE(name, std::string::npos);
    file[name] = '\xff';
    std::ofstream(folder.path("names"), std::ios::binary) << file;
    const ProgramResult result = run_lethe({"inspect", "names", "--json", "names.json"}, folder.path());
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, testing::HasSubstr("  ?calar "));
    EXPECT_THAT(read_text(folder.path("names.json")), testing::HasSubstr("\"\uFFFDcalar\""));
}

INSTANTIATE_TEST_SUITE_P(Commands, HostileCli, testing::Values("inspect", "convert"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lethe::test
