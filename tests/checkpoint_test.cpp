// What is written is what was read: PyTorch files, hashes, another file's names and types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "data/archive.h"
#include "data/file.h"
#include "data/like.h"
#include "data/pytorch.h"
#include "data/safetensors.h"
#include "data/weights.h"
#include "tests/support/compare.h"
#include "tests/support/entries.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

std::string golden(const std::string& name) { return LETHE_SOURCE_DIR "/tests/golden/weights/" + name; }

template <class T>
StoredTensor stored(Element element, std::vector<int64_t> sizes, const std::vector<T>& values) {
    StoredTensor tensor{&element_info(element), std::move(sizes), std::vector<uint8_t>(values.size() * sizeof(T))};
    if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
    return tensor;
}

StoredTensor floats(const std::vector<float>& values) {
    return stored(Element::float32, {static_cast<int64_t>(values.size())}, values);
}

// ---- files for PyTorch ----------------------------------------------------------------------------------------------

class ForPyTorch : public testing::TestWithParam<const char*> {};

// Every dtype and layout that the docs list, from files that PyTorch and NumPy wrote.
TEST_P(ForPyTorch, EveryBitComesBack) {
    const WeightFile original = read_weights(golden(GetParam()));
    const Metadata metadata{{"a", "b"}, {"lethe.note", "\u00fc\n\""}};
    const std::vector<uint8_t> bytes = format_pytorch_zip(original.entries, metadata);
    const WeightFile back = parse_pytorch_zip(bytes);
    expect_same_entries(back.entries, original.entries);
    EXPECT_EQ(back.metadata, metadata);
    EXPECT_EQ(format_pytorch_zip(back.entries, metadata), bytes);
}

INSTANTIATE_TEST_SUITE_P(Checkpoint, ForPyTorch,
                         testing::Values("dtypes.zip.pt", "dtypes.legacy.pt", "strided.zip.pt", "strided.legacy.pt",
                                         "old_views.legacy.pt", "nested.zip.pt", "arrays.npz"),
                         [](const auto& test) {
                             std::string name = test.param;
                             std::replace(name.begin(), name.end(), '.', '_');
                             return name;
                         });

// written.pt is what tests/golden/check_roundtrip.py has given to torch.load; the archive's own fields may change with
// libzip's version, what PyTorch sees in it may not.
TEST(Checkpoint, TheRecordsAreThoseThatPyTorchHasRead) {
    const std::vector<uint8_t> expected_bytes = read_file(golden("written.pt"));
    const std::vector<uint8_t> bytes = format_pytorch_zip(read_weights(golden("dtypes.zip.pt")).entries, {});
    MemoryBudget budget(1 << 20);
    Archive expected(expected_bytes, budget), actual(bytes, budget);
    std::vector<std::string> names = expected.names();
    std::erase(names, "archive/lethe.json");
    ASSERT_EQ(actual.names(), names);
    EXPECT_EQ(actual.names().front(), "archive/data.pkl");
    EXPECT_EQ(actual.names().back(), "archive/version");
    for (const std::string& name : names) EXPECT_EQ(actual.read(name), expected.read(name)) << name;
}

// PyTorch maps storages into memory, where vector instructions want them aligned.
TEST(Checkpoint, StoragesBeginAtMultiplesOf64Bytes) {
    StoredState entries;
    for (int i = 0; i < 12; ++i)
        entries.emplace_back("w" + std::to_string(i),
                             floats(std::vector<float>(static_cast<std::size_t>(i * 7), 1e20f)));
    const std::vector<uint8_t> bytes = format_pytorch_zip(entries, {});
    const std::string archive(bytes.begin(), bytes.end());
    std::size_t found = 0;
    for (std::size_t at = archive.find("PK\x03\x04"); at != std::string::npos;
         at = archive.find("PK\x03\x04", at + 4)) {
        uint16_t name = 0, extra = 0;
        std::memcpy(&name, bytes.data() + at + 26, 2);
        std::memcpy(&extra, bytes.data() + at + 28, 2);
        EXPECT_EQ((at + 30 + name + extra) % 64, 0u) << archive.substr(at + 30, name);
        ++found;
    }
    EXPECT_EQ(found, entries.size() + 3);
}

TEST(Checkpoint, NamesThatNoFileCanHoldAreRefused) {
    const StoredTensor x = floats({1});
    EXPECT_THAT(error_of([&] { format_pytorch_zip({{"a", x}, {"a", x}}, {}); }), HasSubstr("'a' is used twice"));
    EXPECT_THAT(error_of([&] { format_pytorch_zip({{"\xff", x}}, {}); }), HasSubstr("is not valid UTF-8"));
    EXPECT_THAT(error_of([&] { format_pytorch_zip({{"a", x}}, {{"k", "\xff"}}); }), HasSubstr("not valid UTF-8"));
}

TEST(Checkpoint, TheEndingDecidesTheFormat) {
    const TemporaryFolder folder;
    const StoredState entries{{"w", floats({1, 2})}};
    for (const auto& [name, format] : {std::pair{"a.pt", "pytorch-zip"},
                                       {"a.pth", "pytorch-zip"},
                                       {"a.th", "pytorch-zip"},
                                       {"a.bin", "pytorch-zip"},
                                       {"a.safetensors", "safetensors"},
                                       {"a", "safetensors"}}) {
        write_weights(folder.path(name), entries, {});
        const WeightFile file = read_weights(folder.path(name));
        EXPECT_EQ(file.format, format) << name;
        EXPECT_EQ(file.metadata.at("lethe.tensors_sha256"), entries_sha256(entries));
    }
    EXPECT_THAT(error_of([&] { write_weights(folder.path("a.npz"), entries, {}); }),
                HasSubstr("a.npz: weights are written to .safetensors, or, for PyTorch, to .pt"));
}

// ---- hashes ---------------------------------------------------------------------------------------------------------

// The value comes from hashlib (make_weights.py).
TEST(Checkpoint, TheHashOfTheTensorsIsPythons) {
    const std::string expected = read_text(golden("arrays.sha256"));
    StoredState entries = read_weights(golden("arrays.npz")).entries;
    EXPECT_EQ(entries_sha256(entries) + "\n", expected);
    std::reverse(entries.begin(), entries.end());
    EXPECT_EQ(entries_sha256(entries) + "\n", expected);
}

TEST(Checkpoint, ChangedTensorsAreRefused) {
    const TemporaryFolder folder;
    const StoredState entries{{"a", floats({1, 2})}, {"b", floats({3})}};
    for (const std::string name : {"w.safetensors", "w.pt"}) {
        write_weights(folder.path(name), entries, {{"lethe.arch", "resnet8"}});
        WeightFile file = read_weights(folder.path(name));
        EXPECT_EQ(file.metadata.at("lethe.arch"), "resnet8");
        const auto refusal_of = [&](const StoredState& changed) {
            write_file(folder.path(name), name.ends_with(".pt") ? format_pytorch_zip(changed, file.metadata)
                                                                : format_safetensors(changed, file.metadata));
            return error_of([&] { read_weights(folder.path(name)); });
        };
        const std::string said = name + ": its tensors are not those it was written with";
        StoredState changed = entries;
        changed[1].second.bytes[2] ^= 1;
        EXPECT_THAT(refusal_of(changed), HasSubstr(said));
        changed = entries;
        changed[0].second.sizes = {2, 1};
        EXPECT_THAT(refusal_of(changed), HasSubstr(said));
        changed = entries;
        changed[0].first = "c";
        EXPECT_THAT(refusal_of(changed), HasSubstr(said));
        changed = entries;
        changed.pop_back();
        EXPECT_THAT(refusal_of(changed), HasSubstr(said));
        changed = entries;
        changed[0].second.element = &element_info(Element::int32);
        EXPECT_THAT(refusal_of(changed), HasSubstr(said));
    }
}

// ---- like another file ----------------------------------------------------------------------------------------------

TEST(Checkpoint, LikeAnotherFile) {
    const StoredState original{
        {"module.half", stored<uint16_t>(Element::float16, {2}, {0x3c00, 0x4000})},  // 1, 2
        {"module.double", stored<double>(Element::float64, {1, 2}, {1.0 / 3.0, 1e-300})},
        {"module.changed", stored<double>(Element::float64, {1}, {1.0 / 3.0})},
        {"module.counter", stored<int32_t>(Element::int32, {}, {7})},
        {"module.extra", stored<int8_t>(Element::int8, {1}, {-3})},
    };
    const StoredState edited{
        {"bn.num_batches_tracked", stored<int64_t>(Element::int64, {}, {0})},
        {"changed", floats({0.5f})},
        {"counter", stored<int64_t>(Element::int64, {}, {8})},
        {"double", stored<float>(Element::float32, {1, 2}, {static_cast<float>(1.0 / 3.0), 0.0f})},
        {"half", floats({1.5f, 1.0004883f})},  // half-way between two halves: to the even one
    };
    const LikeOriginal result = like_original(edited, original);
    expect_same_entries(result.entries, {{"module.half", stored<uint16_t>(Element::float16, {2}, {0x3e00, 0x3c00})},
                                         {"module.double", original[1].second},  // unchanged as far as float32 can tell
                                         {"module.changed", stored<double>(Element::float64, {1}, {0.5})},
                                         {"module.counter", stored<int32_t>(Element::int32, {}, {8})},
                                         {"module.extra", original[4].second}});
    EXPECT_EQ(result.kept, std::vector<std::string>{"module.extra"});
    EXPECT_EQ(result.dropped, std::vector<std::string>{"bn.num_batches_tracked"});
}

TEST(Checkpoint, LikeAFileThatDoesNotFit) {
    const auto refusal_of = [](const StoredState& entries, const StoredState& original) {
        return error_of([&] { like_original(entries, original); });
    };
    const StoredState original{{"a", stored<uint16_t>(Element::float16, {1}, {0})}, {"n", floats({0})}};
    const auto one = stored<int64_t>(Element::int64, {1}, {1});
    EXPECT_THAT(refusal_of({{"a", floats({1})}, {"b", floats({1})}}, original), HasSubstr("has no entry 'b'"));
    EXPECT_THAT(refusal_of({{"x", floats({1})}}, original), HasSubstr("has none of the names"));
    EXPECT_THAT(refusal_of({{"a", floats({1, 2})}}, original),
                HasSubstr("entry 'a': has the shape [2], the original's is [1]"));
    EXPECT_THAT(refusal_of({{"a", floats({1e6f})}}, original), HasSubstr("entry 'a': its value 1e+06 is too large"));
    EXPECT_THAT(refusal_of({{"n", one}}, original), HasSubstr("entry 'n': is int64, the original's is float32"));
}

}  // namespace
}  // namespace lethe::test
