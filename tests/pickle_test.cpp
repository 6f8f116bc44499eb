// The pickle interpreter alone, and hostile objects inside an otherwise correct PyTorch file.
#include "data/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "data/pytorch.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using pickle::Kind;
using testing::HasSubstr;
using namespace std::string_literals;

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

pickle::Pickle read(const std::string& text) {
    const auto bytes = bytes_of(text);
    ByteReader in(bytes);
    return pickle::read(in, pytorch::is_known_name);
}

std::string error_for(const std::string& text) {
    return error_of([&] { read(text); });
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

// Opcodes that push values, as pickle.dumps(value, 2) writes them.
std::string number(int64_t value) { return "\x8a\x08" + raw(value); }
std::string text(const std::string& value) { return "X" + raw(static_cast<uint32_t>(value.size())) + value; }
std::string numbers(const std::vector<int64_t>& values) {
    std::string items;
    for (const int64_t value : values) items += number(value);
    return "(" + items + "t";
}

// Each text is pickle.dumps of the value in the test, by Python 3.11.
TEST(Pickle, Numbers) {
    EXPECT_EQ(read("\x80\x02K\xff.").root->integer, 255);
    EXPECT_EQ(read("\x80\x02M\x00\x01."s).root->integer, 256);
    EXPECT_EQ(read("\x80\x02J\xff\xff\xff\xff.").root->integer, -1);
    EXPECT_EQ(read("\x80\x02\x8a\x05\x00\x00\x00\x00\x80."s).root->integer, -(int64_t{1} << 39));
    EXPECT_EQ(read("\x80\x02\x8a\x00."s).root->integer, 0);
    EXPECT_EQ(read("I-12\n.").root->integer, -12);
    EXPECT_EQ(read("L123L\n.").root->integer, 123);
    EXPECT_EQ(read("G\xbf\xf8\x00\x00\x00\x00\x00\x00."s).root->real, -1.5);
    EXPECT_TRUE(read("I01\n.").root->is(Kind::boolean));
    const auto big = read("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."s);  // 2**64
    EXPECT_TRUE(big.root->is(Kind::big_integer));
}

TEST(Pickle, ContainersKeepTheirItems) {
    // {'a': [1, (2, 3)], 'b': None}
    const auto dict = read("\x80\x02}q\x00(X\x01\x00\x00\x00"s + "aq\x01]q\x02(K\x01K\x02K\x03\x86q\x03"s +
                           "eX\x01\x00\x00\x00"s + "bq\x04Nu.");
    ASSERT_EQ(dict.root->items.size(), 4u);
    EXPECT_EQ(dict.root->items[0]->text, "a");
    const pickle::Value& list = *dict.root->items[1];
    ASSERT_TRUE(list.is(Kind::list));
    EXPECT_EQ(list.items[1]->items[1]->integer, 3);
    EXPECT_TRUE(dict.root->items[3]->is(Kind::none));
}

TEST(Pickle, OrderedDictFromEitherPython) {
    const std::string global = "ccollections\nOrderedDict\n";
    const auto three = read(global + ")R(" + text("k") + "K\x05u.");
    const auto two = read(global + "]](" + text("k") + "K\x05" + "ea\x85R.");
    for (const auto* root : {three.root, two.root}) {
        ASSERT_TRUE(root->is(Kind::dict));
        ASSERT_EQ(root->items.size(), 2u);
        EXPECT_EQ(root->items[0]->text, "k");
        EXPECT_EQ(root->items[1]->integer, 5);
    }
}

TEST(Pickle, UnknownNamesAreRefusedHoweverTheyAreWritten) {
    EXPECT_THAT(error_for("cposix\nsystem\n."), HasSubstr("asks for posix.system; Lethe never executes code"));
    EXPECT_THAT(error_for("\x8c\x05posix\x8c\x06system\x93."), HasSubstr("asks for posix.system"));
    EXPECT_THAT(error_for("cbuiltins\neval\n."), HasSubstr("asks for builtins.eval"));
    EXPECT_THAT(error_for("ctorch.hub\nload\n."), HasSubstr("asks for torch.hub.load"));
    EXPECT_THAT(error_for("ctorch\nFloatStorage.__init__\n."), HasSubstr("asks for torch.FloatStorage.__init__"));
    EXPECT_THAT(error_for("c\x1b[31m\n" + std::string(1000, 'x') + "\n."), HasSubstr("asks for ?[31m.xxxx"));
    EXPECT_THAT(error_for("(S'touch x'\niposix\nsystem\n."), HasSubstr("opcode 83"));
    EXPECT_THAT(error_for("(iposix\nsystem\n."), HasSubstr("opcode 105 at byte 1"));
    EXPECT_THAT(error_for("K\x01)R."), HasSubstr("malformed call"));
}

TEST(Pickle, MalformedStreams) {
    EXPECT_THAT(error_for(""), HasSubstr("truncated"));
    EXPECT_THAT(error_for("."), HasSubstr("needs more values"));
    EXPECT_THAT(error_for("K\x01(0"s + "00."), HasSubstr("needs more values"));
    EXPECT_THAT(error_for("K\x01(\x85."), HasSubstr("needs more values"));  // below a mark
    EXPECT_THAT(error_for("t."), HasSubstr("no mark"));
    EXPECT_THAT(error_for("Na."), HasSubstr("needs more values"));
    EXPECT_THAT(error_for("}Na."), HasSubstr("no list"));
    EXPECT_THAT(error_for("]NNs."), HasSubstr("no dictionary"));
    EXPECT_THAT(error_for("}(Nu."), HasSubstr("key without a value"));
    EXPECT_THAT(error_for("h\x05."), HasSubstr("number 5"));
    EXPECT_THAT(error_for("\x80\x09."), HasSubstr("unknown protocol 9"));
    EXPECT_THAT(error_for("I1x\n."), HasSubstr("not a 64-bit integer"));
    EXPECT_THAT(error_for("I12"), HasSubstr("has no end"));
}

TEST(Pickle, AbsurdSizes) {
    EXPECT_THAT(error_for("\x8b" + raw(uint32_t{0x7fffffff})), HasSubstr("an integer of 2147483647 bytes"));
    EXPECT_THAT(error_for("X" + raw(uint32_t{0xffffffff})), HasSubstr("truncated"));
    EXPECT_THAT(error_for("\x8d" + raw(~uint64_t{0})), HasSubstr("truncated"));
    EXPECT_THAT(error_for(repeat("N0", 600'000)), HasSubstr("more than 1000000 steps"));
}

TEST(Pickle, DeepNestingAndCyclesAreHarmless) {
    EXPECT_TRUE(read(")" + repeat("\x85", 999) + ".").root->is(Kind::tuple));
    EXPECT_THAT(error_for(")" + repeat("\x85", 1'000'000) + "."), HasSubstr("nested more than 1000 deep"));
    EXPECT_THAT(error_for(repeat("]", 1'000'000) + repeat("a", 999'999) + "."), HasSubstr("more than 100000 values"));
    EXPECT_THAT(error_for(repeat("]", 2000) + repeat("a", 1999) + "."), HasSubstr("nested more than 1000 deep"));
    EXPECT_THAT(error_for(repeat("(", 1'000'000) + "."), HasSubstr("more than 100000 values"));
    const auto cycle = read("]q\x01h\x01"s + "a.");
    EXPECT_EQ(cycle.root->items[0], cycle.root);
}

// A list made once and copied a thousand times would need memory out of all proportion.
TEST(Pickle, CopyingIsBounded) {
    const std::string list = "](" + repeat("](NNe", 10'000) + "eq\x01"s;
    const std::string copy = "ccollections\nOrderedDict\nh\x01\x85R0";
    EXPECT_THAT(error_for(list + repeat(copy, 1000) + "."), HasSubstr("steps"));
}

// ---- objects inside a legacy file -----------------------------------------------------------------------------------

struct TensorSpec {
    int64_t numel = 6;  // of the storage
    std::string offset = number(0);
    std::vector<int64_t> size = {2, 3}, stride = {3, 1};
    std::string type = "FloatStorage", view = "N";
};

std::string tensor(const TensorSpec& spec) {
    const std::string storage = "(" + text("storage") + "ctorch\n" + spec.type + "\n" + text("k") + text("cpu") +
                                number(spec.numel) + spec.view;
    return "ctorch._utils\n_rebuild_tensor\n(" + storage + "tQ" + spec.offset + numbers(spec.size) +
           numbers(spec.stride) + "tR";
}

// The whole container around `object`, with the storage 0 1 2 3 4 5 of `type`-sized elements.
std::vector<uint8_t> legacy(const std::string& object, int64_t numel = 6, const std::string& data = "") {
    const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    std::string values;
    for (int i = 0; i < 6; ++i) values += raw(static_cast<float>(i));
    return bytes_of(magic + number(1001) + ".}.\x80\x02" + object + ".](" + text("k") + "e." + raw(numel) +
                    (data.empty() ? values : data));
}

std::string refusal(const std::string& object, int64_t numel = 6) {
    return error_of([&] { parse_pytorch_legacy(legacy(object, numel)); });
}

std::string refusal_of_tensor(const TensorSpec& spec) {
    return refusal("}" + text("w") + tensor(spec) + "s", spec.numel);
}

TEST(HostileTensor, TheUnchangedSpecificationIsRead) {
    const WeightFile file = parse_pytorch_legacy(legacy("}" + text("w") + tensor({}) + "s"));
    EXPECT_TRUE(identical(file.state().at(0).second, Tensor::from_nchw({2, 3}, std::vector<float>{0, 1, 2, 3, 4, 5})));
}

TEST(HostileTensor, LayoutsStayInsideTheStorage) {
    const auto beyond = HasSubstr("entry 'w': its elements reach beyond the end of a storage of 6 elements");
    constexpr int64_t huge = std::numeric_limits<int64_t>::max();
    EXPECT_THAT(refusal_of_tensor({.size = {7}, .stride = {1}}), beyond);
    EXPECT_THAT(refusal_of_tensor({.offset = number(1)}), beyond);
    EXPECT_THAT(refusal_of_tensor({.offset = number(huge)}), beyond);
    EXPECT_THAT(refusal_of_tensor({.size = {2}, .stride = {huge}}), beyond);
    EXPECT_THAT(refusal_of_tensor({.size = {3, 3}, .stride = {huge, huge}}), beyond);
    EXPECT_THAT(refusal_of_tensor({.size = {5}, .stride = {int64_t{1} << 62}}), beyond);
    EXPECT_THAT(refusal_of_tensor({.offset = number(-1)}), HasSubstr("offset -1 is negative"));
    EXPECT_THAT(refusal_of_tensor({.stride = {3, -1}}), HasSubstr("stride -1 is negative"));
    EXPECT_THAT(refusal_of_tensor({.size = {2, -3}}), HasSubstr("is negative (-3)"));
    EXPECT_THAT(refusal_of_tensor({.size = {2}}), HasSubstr("1 sizes but 2 strides"));
    EXPECT_THAT(refusal_of_tensor({.size = std::vector<int64_t>(65, 1), .stride = std::vector<int64_t>(65, 1)}),
                HasSubstr("has 65 dimensions"));
    EXPECT_THAT(refusal_of_tensor({.offset = text("0")}), HasSubstr("malformed arguments"));
}

TEST(HostileTensor, ExpansionIsBounded) {
    EXPECT_THAT(refusal_of_tensor({.size = {1 << 20, 1 << 20}, .stride = {0, 0}}),
                HasSubstr("far more memory than the file's"));
    EXPECT_THAT(refusal_of_tensor({.size = {int64_t{1} << 40, 2}, .stride = {0, 0}}), HasSubstr("2^40"));
    std::string object = "}(";
    for (int i = 0; i < 100; ++i) object += text("w" + std::to_string(i)) + tensor({.size = {1 << 20}, .stride = {0}});
    EXPECT_THAT(refusal(object + "u"), HasSubstr("far more memory"));
}

TEST(HostileTensor, StoragesAreWhatWasAnnounced) {
    EXPECT_THAT(refusal_of_tensor({.numel = 7}), HasSubstr("truncated: storage k needs 7 elements"));
    EXPECT_THAT(refusal_of_tensor({.numel = -1}), HasSubstr("negative size"));
    EXPECT_THAT(refusal_of_tensor({.numel = int64_t{1} << 62}), HasSubstr("truncated"));
    EXPECT_THAT(refusal_of_tensor({.numel = 5}), HasSubstr("4 bytes after the last storage"));
    EXPECT_THAT(refusal("}" + text("w") + tensor({}) + "s", 5), HasSubstr("has 5 elements, 6 were announced"));
    EXPECT_THAT(refusal_of_tensor({.type = "ComplexFloatStorage"}),
                HasSubstr("ComplexFloatStorage, which is not supported"));
    EXPECT_THAT(refusal_of_tensor({.type = "UntypedStorage"}), HasSubstr("asks for torch.UntypedStorage"));
    EXPECT_THAT(refusal_of_tensor({.view = "(" + text("v") + number(4) + number(3) + "t"}),
                HasSubstr("a view reaches beyond"));
    EXPECT_THAT(refusal_of_tensor({.view = "(" + text("v") + number(-1) + number(3) + "t"}),
                HasSubstr("a view reaches beyond"));
    const std::string twice = "}(" + text("a") + tensor({}) + text("b") + tensor({.type = "IntStorage"}) + "u";
    EXPECT_THAT(refusal(twice), HasSubstr("storage k is described in two different ways"));
}

TEST(HostileTensor, DictionariesAreSearchedWithABound) {
    const std::string other = "]" + tensor({}) + "a";  // a tensor that no dictionary holds
    EXPECT_THAT(refusal(other), HasSubstr("holds a list; a dictionary of tensors is needed"));
    EXPECT_THAT(refusal("}" + text("x") + other + "s"), HasSubstr("holds a dictionary without tensors"));
    EXPECT_THAT(refusal("}q\x01("s + text("state_dict") + "h\x01"s + text("x") + other + "u"),
                HasSubstr("nested more than 16 deep, or one that contains itself"));
    EXPECT_THAT(refusal("}(" + text("w") + tensor({}) + text("w") + tensor({}) + "u"), HasSubstr("'w' twice"));
    EXPECT_THAT(refusal("}N" + tensor({}) + "s"), HasSubstr("key in the dictionary is not a text"));
    // Dictionaries that hold the one before twice: 2^n paths lead to the tensor.
    const auto doubled = [](int times) {
        std::string object = "}" + text("w") + tensor({}) + "sq\x01"s;
        for (int i = 0; i < times; ++i) object += "}(" + text("a") + "h\x01"s + text("b") + "h\x01"s + "uq\x01"s;
        return object;
    };
    EXPECT_EQ(parse_pytorch_legacy(legacy(doubled(2))).entries.at(1).first, "a.b.w");
    EXPECT_THAT(refusal(doubled(16)), HasSubstr("holds more than 50000 tensors"));
}

// 'state_dict' comes before 'model', and a dictionary with tensors of its own is only taken when neither has any.
TEST(HostileTensor, TheUsualNamesComeFirst) {
    const auto dict = [](const std::string& key) { return "}" + text(key) + tensor({}) + "s"; };
    const auto name = [](const std::string& object) {
        return parse_pytorch_legacy(legacy(object)).entries.at(0).first;
    };
    EXPECT_EQ(name("}(" + text("model") + dict("m") + text("state_dict") + dict("s") + text("t") + tensor({}) + "u"),
              "s");
    EXPECT_EQ(name("}(" + text("net") + dict("n") + text("model") + "}u"), "n");
    EXPECT_EQ(name("}(" + text("state_dict") + "N" + text("t") + tensor({}) + "u"), "t");
    EXPECT_EQ(name("}(" + text("module.a") + tensor({}) + text("b") + tensor({}) + "u"), "module.a");
    EXPECT_EQ(name("}(" + text("module.a") + tensor({}) + text("module.b") + tensor({}) + "u"), "module.a");
}

}  // namespace
}  // namespace lethe::test
