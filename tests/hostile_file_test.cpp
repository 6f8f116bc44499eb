// Files made to exhaust whoever reads them. Each must be refused in a sentence that names what is wrong, and the memory
// taken meanwhile must be in proportion to the file.
#include <gmock/gmock.h>
#include <zip.h>

#include <cstring>

#include "data/archive.h"
#include "data/model_folder.h"
#include "data/npz.h"
#include "data/pytorch.h"
#include "data/safetensors.h"
#include "tests/support/compare.h"
#include "tests/support/memory.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;
using namespace std::string_literals;

// The Error of `parse` for this file; the process must not grow by more than `limit` meanwhile.
template <class Parse>
std::string refusal(Parse parse, const std::string& file, int64_t limit = 32 * mebibyte) {
    const std::vector<uint8_t> bytes(file.begin(), file.end());
    std::string error;
    const int64_t growth = peak_growth([&] { error = error_of([&] { parse(bytes); }); });
    EXPECT_LT(growth, limit * sanitizer_overhead) << "refused with: " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_LT(error.size(), 300u) << error;
    return error;
}

template <class T>
std::string raw(T value) {
    std::string text(sizeof(T), '\0');
    std::memcpy(text.data(), &value, sizeof(T));
    return text;
}

std::string repeat(const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
}

std::string text(const std::string& value) { return "X" + raw(static_cast<uint32_t>(value.size())) + value; }

// What comes before the object's pickle in a legacy file: magic number, protocol version, system.
const std::string preamble = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."s;

std::string legacy_refusal(const std::string& object) {
    return refusal(parse_pytorch_legacy, preamble + object, 64 * mebibyte);
}

constexpr int million = 1'000'000;

TEST(HostileFile, AMillionNestedContainers) {
    EXPECT_THAT(legacy_refusal(")" + repeat("\x85", million) + "."), HasSubstr("nested more than 1000 deep"));
    EXPECT_THAT(legacy_refusal(repeat("]", million) + repeat("a", million - 1) + "."),
                HasSubstr("100000 values on its stack"));
    EXPECT_THAT(legacy_refusal(repeat("}" + text("k"), million / 2)), HasSubstr("100000 values on its stack"));
    EXPECT_THAT(legacy_refusal(repeat("(", million) + repeat("t", million) + "."), HasSubstr("100000 values on its"));
    const std::string json = R"({"w":)" + repeat("[", million) + repeat("]", million) + "}";
    EXPECT_THAT(refusal(parse_safetensors, raw(json.size()) + json), HasSubstr("JSON header is nested too deeply"));
}

TEST(HostileFile, Lengths2To63) {
    const std::string huge = raw(uint64_t{1} << 63);
    EXPECT_THAT(legacy_refusal("\x8d" + huge), HasSubstr("truncated: 9223372036854775808 bytes are needed"));
    EXPECT_THAT(legacy_refusal("\x8e" + huge), HasSubstr("truncated: 9223372036854775808 bytes are needed"));
    EXPECT_THAT(legacy_refusal("\x8b\xff\xff\xff\x7f"), HasSubstr("an integer of 2147483647 bytes"));
    EXPECT_THAT(refusal(parse_safetensors, huge + "{}"), HasSubstr("its header claims 9223372036854775808 bytes"));
    const std::string json = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775808]}})";
    EXPECT_THAT(refusal(parse_safetensors, raw(json.size()) + json),
                HasSubstr("entry 'w' ends at byte 922337203685477"));
    const std::string shape = R"({"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,0]}})";
    EXPECT_THAT(refusal(parse_safetensors, raw(shape.size()) + shape), HasSubstr("entry 'w' has an absurd shape"));
}

TEST(HostileFile, RecursiveReferences) {
    // d = {}; d["state_dict"] = d["model"] = d["net"] = d
    const std::string dict =
        "}q\x01("s + text("state_dict") + "h\x01"s + text("model") + "h\x01"s + text("net") + "h\x01"s + "u.](e.";
    EXPECT_THAT(legacy_refusal(dict), HasSubstr("nested more than 16 deep, or one that contains itself"));
    // A tensor whose sizes are a list that holds itself, in a storage whose key is the storage.
    const std::string sizes = "}" + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
                              "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x01tQK\x00]q\x02h\x02"s +
                              "ah\x02"s + "tRs.](" + text("0") + "e." + raw(uint64_t{1}) + raw(1.0f);
    EXPECT_THAT(legacy_refusal(sizes), HasSubstr("entry 'w': its size is not a tuple of integers"));
    EXPECT_THAT(legacy_refusal("}" + text("w") + "]q\x01h\x01"s + "aQs."),
                HasSubstr("refers to a storage in an unknown"));
}

// A megabyte of key, shared by 300,000 references, would be copied 300,000 times.
TEST(HostileFile, LongSharedKeys) {
    const std::string storage = "(" + text("storage") + "ctorch\nFloatStorage\n" + text(std::string(million, '7')) +
                                text("cpu") + "K\x01tq\x00"s;
    EXPECT_THAT(legacy_refusal(storage + repeat("0h\x00Q"s, 300'000) + "."), HasSubstr("by a key of 1000000 bytes"));
}

TEST(HostileFile, EmptyTensorsWithLongAxesTakeNoTime) {
    const std::string json = R"({"w":{"dtype":"F32","shape":[1099511627776,1,0,0],"data_offsets":[0,0]}})";
    const std::string file = raw(json.size()) + json;
    const std::vector<uint8_t> bytes(file.begin(), file.end());
    EXPECT_LT(peak_growth([&] { parse_safetensors(bytes); }), 32 * mebibyte * sanitizer_overhead);
}

// ---- zip archives ---------------------------------------------------------------------------------------------------

// An archive of one entry of `size` zeros, deflated about a thousand to one.
std::string bomb(const std::string& name, std::size_t size) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
    zip_source_keep(target);
    zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, &error);
    const std::vector<uint8_t> zeros(size);
    const zip_int64_t index = zip_file_add(archive, name.c_str(), zip_source_buffer(archive, zeros.data(), size, 0), 0);
    EXPECT_EQ(zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_DEFLATE, 6), 0);
    EXPECT_EQ(zip_close(archive), 0);
    zip_source_open(target);
    zip_source_seek(target, 0, SEEK_END);
    std::string bytes(static_cast<std::size_t>(zip_source_tell(target)), '\0');
    zip_source_seek(target, 0, SEEK_SET);
    EXPECT_EQ(zip_source_read(target, bytes.data(), bytes.size()), static_cast<zip_int64_t>(bytes.size()));
    zip_source_close(target);
    zip_source_free(target);
    return bytes;
}

void replace_last(std::string& bytes, const std::string& from, const std::string& to) {
    const std::size_t at = bytes.rfind(from);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, to.size(), to);
}

TEST(HostileFile, ZipBombs) {
    const std::string file = bomb("a/data.pkl", 96 * mebibyte);
    ASSERT_LT(file.size(), std::size_t{mebibyte});
    EXPECT_THAT(refusal(parse_pytorch_zip, file), HasSubstr("far more memory than the file's size explains"));
}

// The directory promises what the entry does not have: 48 MiB would be within the allowance.
TEST(HostileFile, ZipEntriesThatAreShorterThanTheySay) {
    std::string file = bomb("a/data.pkl", 1000);
    replace_last(file, raw(uint32_t{1000}), raw(uint32_t{48 * mebibyte}));
    EXPECT_THAT(refusal(parse_pytorch_zip, file, 8 * mebibyte),
                HasSubstr("entry a/data.pkl is damaged (it claims 50331648 bytes"));
}

// ---- NumPy arrays ---------------------------------------------------------------------------------------------------

// An archive of one array w.npy with this header (of format version 2) and data.
std::string one_array(const std::string& header, const std::string& data) {
    const std::string array = "\x93NUMPY\x02\x00"s + raw(static_cast<uint32_t>(header.size())) + header + data;
    const auto bytes = format_archive({{"w.npy", {reinterpret_cast<const uint8_t*>(array.data()), array.size()}}});
    return {bytes.begin(), bytes.end()};
}

std::string array_refusal(const std::string& header, const std::string& data = "") {
    return refusal(parse_npz, one_array(header, data));
}

std::string array_header(const std::string& shape, const std::string& more = "") {
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", " + more + "}\n";
}

TEST(HostileFile, ArraysWithHostileHeaders) {
    const std::string good = one_array(array_header("(1,)"), raw(1.0f));
    EXPECT_EQ(parse_npz({reinterpret_cast<const uint8_t*>(good.data()), good.size()}).entries.size(), 1u);
    EXPECT_THAT(array_refusal(array_header("(9223372036854775808,)")), HasSubstr("a tuple of integers below 2^63"));
    EXPECT_THAT(array_refusal(array_header("(9223372036854775807,)")), HasSubstr("more than 2^40 elements"));
    EXPECT_THAT(array_refusal(array_header("(1048576, 1048576, 0, 1048576)")), HasSubstr("more than 2^40 elements"));
    EXPECT_THAT(array_refusal(array_header("(-1,)")), HasSubstr("one of its sizes is negative (-1)"));
    EXPECT_THAT(array_refusal(array_header("(2,)"), raw(1.0f)), HasSubstr("its shape [2] needs 8 bytes, it has 4"));
    EXPECT_THAT(array_refusal(array_header("(" + repeat("1, ", 100) + ")"), raw(1.0f)), HasSubstr("100 dimensions"));
    EXPECT_THAT(array_refusal(array_header(repeat("(", 9000))), HasSubstr("its header is damaged"));
    EXPECT_THAT(array_refusal(array_header(repeat("(", million))), HasSubstr("bytes, at most 10000 are read"));
    EXPECT_THAT(array_refusal(array_header("(1,)", "'shape': (2,)"), raw(1.0f)), HasSubstr("has 'shape' twice"));
    EXPECT_THAT(array_refusal(array_header("__import__('os').system('true')")), HasSubstr("header is damaged"));
    EXPECT_THAT(array_refusal("{'descr': '<f4'}"), HasSubstr("must have 'descr', 'fortran_order' and 'shape'"));
}

TEST(HostileFile, ArchivesThatPointOutOfThemselves) {
    for (const char* name : {"../w.npy", "/w.npy", "a/../w.npy", "a\\w.npy"}) {
        const auto bytes = format_archive({{name, {}}});
        EXPECT_THAT(refusal(parse_npz, {bytes.begin(), bytes.end()}), HasSubstr("which points out of the archive"));
    }
}

// ---- settings in JSON -----------------------------------------------------------------------------------------------

TEST(HostileFile, SettingsInJson) {
    const std::string deep = R"({"weight_map":)" + repeat("[", million) + repeat("]", million) + "}";
    const std::string objects = R"({"weight_map":)" + repeat(R"({"a":)", million);
    const std::string huge = R"({"weight_map":{},"image_size":[1,9223372036854775808,9223372036854775808],)"
                             R"("size":9223372036854775808})";
    for (const auto parse : {parse_model_config, parse_preprocessor_config}) {
        EXPECT_THAT(refusal(parse, deep), HasSubstr("its JSON is nested too deeply"));
        EXPECT_THAT(refusal(parse, objects), HasSubstr("its JSON is nested too deeply"));
        EXPECT_THAT(refusal(parse, "{\"a\": {}"), HasSubstr("is not valid JSON"));
        EXPECT_THAT(refusal(parse, huge), HasSubstr("is not a whole number from 1 to 16384"));
    }
    EXPECT_THAT(refusal(parse_shard_index, deep), HasSubstr("its JSON is nested too deeply"));
    EXPECT_THAT(refusal(parse_shard_index, R"({"weight_map":{"w":"../../../etc/shadow"}})"),
                HasSubstr("puts 'w' into '../../../etc/shadow', which is not the plain name"));
    std::string map = "\"w\":\"w\"";
    for (int i = 0; i < 10'001; ++i) map += concat(",\"", i, "\":\"", i, "\"");
    EXPECT_THAT(refusal(parse_shard_index, R"({"weight_map":{)" + map + "}}"), HasSubstr("more than 10000 shards"));
}

TEST(HostileFile, SlowMillionsOfPartsInJson) {
    const std::string many = "{\"a\":[" + repeat("0,", 6 * million) + "0]}";
    EXPECT_THAT(refusal(parse_shard_index, many, 512 * mebibyte), HasSubstr("its JSON has more than 5000000 parts"));
}

}  // namespace
}  // namespace lethe::test
