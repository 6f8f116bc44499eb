// Files that torch.save wrote, against what PyTorch reads from them (tests/golden/make_weights.py).
#include "data/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <sstream>

#include "data/file.h"
#include "data/npz.h"
#include "data/pytorch.h"
#include "tensor/allocator.h"
#include "tests/support/compare.h"
#include "tests/support/entries.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

std::string golden(const std::string& name) { return LETHE_SOURCE_DIR "/tests/golden/weights/" + name; }

std::string refusal(const std::string& path) {
    return error_of([&] { read_weights(path); });
}

Tensor parse_tensor(const std::string& dtype, const std::string& sizes, std::istream& words) {
    std::vector<int64_t> dims;
    std::istringstream parts(sizes);
    for (std::string size; sizes != "-" && std::getline(parts, size, 'x');) dims.push_back(std::stoll(size));
    std::vector<float> floats;
    std::vector<int64_t> integers;
    const bool floating = dtype.find("float") != std::string::npos;
    for (std::string word; words >> word;) {
        if (floating)
            floats.push_back(std::strtof(word.c_str(), nullptr));
        else
            integers.push_back(std::strtoll(word.c_str(), nullptr, 10));
    }
    return floating ? Tensor::from_nchw(Shape(dims), floats) : Tensor::from_int64(Shape(dims), integers);
}

// Names, order, dtypes and every bit are as NAME.expected says.
void expect_golden(const WeightFile& file, const std::string& name) {
    std::istringstream lines(read_text(golden(name + ".expected")));
    const StateDict state = file.state();
    std::size_t i = 0;
    for (std::string line; std::getline(lines, line); ++i) {
        std::istringstream words(line);
        std::string key, dtype, sizes;
        words >> key >> dtype >> sizes;
        ASSERT_LT(i, state.size());
        EXPECT_EQ(state[i].first, key);
        EXPECT_EQ(file.entries[i].second.element->name, dtype) << key;
        EXPECT_TRUE(identical(state[i].second, parse_tensor(dtype, sizes, words))) << key;
    }
    EXPECT_EQ(i, state.size());
    EXPECT_GT(i, 0u);
}

class TorchFile : public testing::TestWithParam<std::string> {};

TEST_P(TorchFile, ZipIsReadAsPyTorchDoes) {
    const WeightFile file = read_weights(golden(GetParam() + ".zip.pt"));
    EXPECT_EQ(file.format, "pytorch-zip");
    EXPECT_TRUE(file.metadata.empty());
    expect_golden(file, GetParam());
}

TEST_P(TorchFile, LegacyIsReadAsPyTorchDoes) {
    const WeightFile file = read_weights(golden(GetParam() + ".legacy.pt"));
    EXPECT_EQ(file.format, "pytorch-legacy");
    expect_golden(file, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Weights, TorchFile, testing::Values("dtypes", "strided", "nested"),
                         [](const auto& test) { return test.param; });

TEST(Weights, DeflatedEntriesAreRead) { expect_golden(read_weights(golden("deflated.zip.pt")), "strided"); }

TEST(Weights, ViewsOfStoragesAreRead) { expect_golden(read_weights(golden("old_views.legacy.pt")), "old_views"); }

TEST(Weights, NumpyArchivesAreReadAsNumpyDoes) {
    for (const char* name : {"arrays.npz", "deflated.npz"}) {
        const WeightFile file = read_weights(golden(name));
        EXPECT_EQ(file.format, "npz");
        expect_golden(file, "arrays");
    }
}

TEST(Weights, UnsupportedArraysAreNamed) {
    const std::string entry = "entry 'weight': ";
    EXPECT_THAT(refusal(golden("objects.npz")), HasSubstr(entry + "holds Python objects, which are never read"));
    EXPECT_THAT(refusal(golden("records.npz")), HasSubstr(entry + "is an array of records"));
    EXPECT_THAT(refusal(golden("big_endian.npz")), HasSubstr(entry + "is big-endian ('>f4')"));
    EXPECT_THAT(refusal(golden("complex.npz")), HasSubstr(entry + "has the type '<c8', which is not supported"));
}

TEST(Weights, PublishedCheckpointsAreRead) {
    const std::string path = shared_path("weights/resnet20-12fca82f.th");
    if (path.empty()) GTEST_SKIP() << "the published ResNet-20 checkpoint weights/resnet20-12fca82f.th is missing";
    const WeightFile file = read_weights(path);
    EXPECT_EQ(file.format, "pytorch-legacy");
    EXPECT_EQ(file.entries.at(0).first, "module.conv1.weight");
    const StateDict state = file.state();
    ASSERT_EQ(state.size(), 97u);
    EXPECT_EQ(state[0].first, "conv1.weight");  // "module." is gone
    EXPECT_EQ(state[0].second.shape(), (Shape{16, 3, 3, 3}));
    // PyTorch: state["module.conv1.weight"][3, 2, 1], and the sum over all entries in double.
    const std::vector<float> conv = state[0].second.to_nchw();
    const std::size_t at = (3 * 3 + 2) * 9 + 3;
    EXPECT_EQ(std::bit_cast<uint32_t>(conv[at]), 0xbf183857u);
    EXPECT_EQ(std::bit_cast<uint32_t>(conv[at + 1]), 0xbfa23cbdu);
    EXPECT_EQ(std::bit_cast<uint32_t>(conv[at + 2]), 0xbf1274e8u);
    double sum = 0;
    int64_t numel = 0;
    for (const auto& [name, tensor] : state) {
        for (const float value : tensor.values()) sum += static_cast<double>(value);
        numel += tensor.numel();
    }
    EXPECT_EQ(numel, 271098);
    EXPECT_NEAR(sum, 139.7826495598208, 1e-8);
}

TEST(Weights, ConversionToSafetensorsChangesNothing) {
    const TemporaryFolder folder;
    const WeightFile original = read_weights(golden("nested.zip.pt"));
    write_safetensors(folder.path("converted"), original.entries);
    expect_same_entries(read_weights(folder.path("converted")).entries, original.entries);
}

TEST(Weights, HostilePicklesAreNamedAndNotExecuted) {
    const std::filesystem::path marker = "lethe_hostile_marker";  // what the files' command would create
    std::filesystem::remove(marker);
    for (const char* name : {"hostile.zip.pt", "hostile.legacy.pt", "hostile.pickle.pt"}) {
        EXPECT_THAT(refusal(golden(name)),
                    HasSubstr(std::string(name) + ": asks for posix.system; Lethe never executes"));
        EXPECT_FALSE(std::filesystem::exists(marker)) << name;
    }
    EXPECT_THAT(refusal(golden("module.zip.pt")), HasSubstr("asks for torch.nn.modules.linear.Linear"));
}

TEST(Weights, UnsupportedContentsAreNamed) {
    EXPECT_THAT(error_of([] { read_weights(golden("rank5.zip.pt")).state(); }),
                HasSubstr("entry 'weight': has 5 dimensions, models have at most 4"));
    EXPECT_THAT(refusal(golden("complex.zip.pt")), HasSubstr("entry 'weight': is stored as torch.ComplexFloatStorage"));
    EXPECT_THAT(refusal(golden("tensor.zip.pt")),
                HasSubstr("holds a single tensor; a dictionary of tensors is needed"));
    EXPECT_THAT(refusal(golden("big_endian.zip.pt")), HasSubstr("is not little-endian"));
}

// The archive with bytes of the central directory's record of one entry replaced; `at` counts from the record's start
// (APPNOTE.TXT of PKWARE, 4.3.12).
std::vector<uint8_t> with_record_patched(const std::string& entry, std::size_t at, const std::string& replacement) {
    std::vector<uint8_t> bytes = read_file(golden("deflated.zip.pt"));
    constexpr std::size_t fixed_size = 46;  // the name follows
    const auto name = std::find_end(bytes.begin(), bytes.end(), entry.begin(), entry.end());
    std::copy(replacement.begin(), replacement.end(), name - fixed_size + static_cast<std::ptrdiff_t>(at));
    return bytes;
}

TEST(Weights, ArchiveEntriesAreChecked) {
    const auto refusal_with = [](std::size_t at, const std::string& replacement) {
        const auto bytes = with_record_patched("strided.zip/data/0", at, replacement);
        return error_of([&] { parse_pytorch_zip(bytes); });
    };
    EXPECT_EQ(with_record_patched("strided.zip/data/0", 0, "PK\x01\x02"), read_file(golden("deflated.zip.pt")));
    EXPECT_THAT(refusal_with(8, "\x01"), HasSubstr("entry strided.zip/data/0 is encrypted"));
    EXPECT_THAT(refusal_with(10, "\x0c"), HasSubstr("unsupported method (12), stored or deflated is needed"));
    EXPECT_THAT(refusal_with(16, "\x12\x34"), HasSubstr("entry strided.zip/data/0 is damaged"));
    EXPECT_THAT(refusal_with(24, "\xff\xff\xff\x7f"),
                HasSubstr("damaged (it claims 2147483647 bytes, packed into 106)"));
    EXPECT_THAT(refusal_with(46, "strided.zip/data/1"), HasSubstr("has the entry strided.zip/data/1 twice"));
    EXPECT_THAT(refusal_with(46, "strided.zip/data/x"), HasSubstr("has no entry strided.zip/data/0"));
}

TEST(Weights, OtherFilesAreNotWeights) {
    const TemporaryFolder folder;
    const auto refusal_of = [&](const std::string& contents) {
        write_text(folder.path("file"), contents);
        return refusal(folder.path("file"));
    };
    EXPECT_THAT(refusal(folder.path("absent")), HasSubstr("absent: cannot be read"));
    EXPECT_THAT(refusal_of(""), HasSubstr("file: is empty"));
    EXPECT_THAT(refusal_of("\x89HDF\r\n\x1a\nrest"),
                HasSubstr("file: is not a weight file: it starts with 89 48 44 46"));
    EXPECT_THAT(refusal_of("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("Git LFS pointer"));
    EXPECT_THAT(refusal_of("PK\x03\x04rest"), HasSubstr("not a readable zip archive"));
    EXPECT_THAT(refusal_of("\x80\x02K\x01."), HasSubstr("magic number is missing"));
    EXPECT_THAT(refusal_of("\x80\x02"), HasSubstr("truncated"));
    // A header length whose first byte looks like a pickle's.
    EXPECT_THAT(refusal_of(std::string("\x80\0\0\0\0\0\0\0{", 9)), HasSubstr("truncated: 128 bytes"));
}

const char* const good_files[] = {"dtypes.zip.pt",       "dtypes.legacy.pt", "strided.zip.pt",
                                  "strided.legacy.pt",   "nested.legacy.pt", "deflated.zip.pt",
                                  "old_views.legacy.pt", "arrays.npz",       "deflated.npz"};

// In memory: thousands of small files would test the disk.
WeightFile parse(const std::string& name, std::span<const uint8_t> bytes) {
    if (name.ends_with(".npz")) return parse_npz(bytes);
    return name.find(".zip.") != std::string::npos ? parse_pytorch_zip(bytes) : parse_pytorch_legacy(bytes);
}

TEST(Weights, EveryPrefixIsAnError) {
    for (const char* name : good_files) {
        const std::vector<uint8_t> bytes = read_file(golden(name));
        for (std::size_t length = 0; length < bytes.size(); ++length)
            ASSERT_THROW(parse(name, std::span(bytes).first(length)), Error) << name << " cut to " << length;
    }
}

TEST(Weights, FlippedBitsAreReadOrRefused) {
    std::mt19937 random(2);
    int refused = 0;
    for (const char* name : good_files) {
        const std::vector<uint8_t> good = read_file(golden(name));
        for (int round = 0; round < 1500; ++round) {
            std::vector<uint8_t> bytes = good;
            for (uint32_t flips = 1 + random() % 4; flips > 0; --flips)
                bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1u << random() % 8);
            try {
                parse(name, bytes);
            } catch (const Error&) {
                ++refused;
            }
        }
    }
    EXPECT_GT(refused, 2000);
    EXPECT_LT(CachingAllocator::cpu().stats().peak_bytes, uint64_t{300} << 20);
}

}  // namespace
}  // namespace lethe::test
