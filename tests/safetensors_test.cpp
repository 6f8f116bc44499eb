#include "data/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "data/element.h"
#include "data/file.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

std::vector<uint8_t> container(const std::string& header, const std::vector<uint8_t>& data) {
    std::vector<uint8_t> bytes;
    for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<uint8_t>(header.size() >> shift));
    bytes.insert(bytes.end(), header.begin(), header.end());
    bytes.insert(bytes.end(), data.begin(), data.end());
    return bytes;
}

template <class T>
std::vector<uint8_t> bytes_of(const std::vector<T>& values) {
    std::vector<uint8_t> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, int begin, int end) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// The Error for a file with this header before `data_bytes` zeros.
std::string error_for(const std::string& header, std::size_t data_bytes = 8) {
    return error_of([&] { parse_safetensors(container(header, std::vector<uint8_t>(data_bytes))); });
}

template <class T>
Tensor read_one(const std::string& dtype, const std::vector<T>& values) {
    const auto data = bytes_of(values);
    const std::string shape = "[" + std::to_string(values.size()) + "]";
    const auto file =
        parse_safetensors(container("{" + entry("x", dtype, shape, 0, static_cast<int>(data.size())) + "}", data));
    return file.state().at(0).second;
}

StateDict example_state() {
    std::vector<float> odd = {0.0f, -0.0f, std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::denorm_min()};
    const std::vector<int64_t> numbers = {std::numeric_limits<int64_t>::min(), -1, 7};
    return {{"z.weight", random_tensor({3, 2, 5, 4}, 1)},
            {"a.odd \"quoted\" \xc3\xa9", Tensor::from_nchw({5}, odd)},
            {"counter", Tensor::from_int64({}, std::vector<int64_t>{42})},
            {"numbers", Tensor::from_int64({3, 1}, numbers)},
            {"scalar", Tensor::full({}, 2.5f)},
            {"none", Tensor::zeros({0, 4})},
            {"matrix", random_tensor({7, 3}, 2)}};
}

TEST(Safetensors, RoundTripIsExactAndKeepsTheOrder) {
    const TemporaryFolder folder;
    const StateDict state = example_state();
    const std::map<std::string, std::string> metadata = {{"model", "resnet20"}, {"quote", "\"\\\n"}};
    write_safetensors(folder.path("weights"), state, metadata);
    const WeightFile file = read_weights(folder.path("weights"));
    EXPECT_EQ(file.format, "safetensors");
    EXPECT_EQ(file.metadata, metadata);
    const StateDict read = file.state();
    ASSERT_EQ(read.size(), state.size());
    for (std::size_t i = 0; i < state.size(); ++i) {
        EXPECT_EQ(read[i].first, state[i].first);
        EXPECT_TRUE(identical(read[i].second, state[i].second)) << state[i].first;
        EXPECT_EQ(file.entries[i].second.element->dtype, state[i].second.dtype());
    }
}

TEST(Safetensors, AnEmptyStateIsAFileToo) {
    const auto bytes = format_safetensors({}, {});
    EXPECT_TRUE(parse_safetensors(bytes).entries.empty());
    EXPECT_EQ(parse_safetensors(format_safetensors({}, {{"k", "v"}})).metadata.at("k"), "v");
}

TEST(Safetensors, DataIsLogicalOrderAndAligned) {
    const Tensor image = Tensor::from_nchw({1, 2, 1, 2}, std::vector<float>{1, 2, 3, 4});
    const auto bytes = format_safetensors(to_stored(StateDict{{"x", image}}), {});
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    EXPECT_EQ(header % 8, 0u);
    const std::vector<uint8_t> data(bytes.end() - 16, bytes.end());
    EXPECT_EQ(data, bytes_of(std::vector<float>{1, 2, 3, 4}));
}

// All 65536 halves against the definition (IEEE 754-2008, 3.4): sign, 5 bits exponent with bias 15, 10 bits fraction.
TEST(Safetensors, EveryHalfIsConvertedExactly) {
    std::vector<uint16_t> halves(65536);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
    const Tensor tensor = read_one("F16", halves);
    for (std::size_t i = 0; i < halves.size(); ++i) {
        const int exponent = static_cast<int>(i >> 10 & 31), fraction = static_cast<int>(i & 1023);
        const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
        const float actual = tensor.values()[i];
        ASSERT_EQ(std::signbit(actual), i >= 32768) << i;
        if (exponent < 31)
            ASSERT_EQ(static_cast<double>(std::abs(actual)), magnitude) << i;
        else
            ASSERT_TRUE(fraction == 0 ? std::isinf(actual) : std::isnan(actual)) << i;
    }
}

TEST(Safetensors, OtherTypesAreConverted) {
    const auto bfloats = read_one("BF16", std::vector<uint16_t>{0x3f80, 0xc040, 0x0001, 0x7f80});
    EXPECT_THAT(bfloats.values(), testing::ElementsAre(1.0f, -3.0f, 0x1p-133f, std::numeric_limits<float>::infinity()));
    const auto doubles = read_one("F64", std::vector<double>{1.0 / 3, -1e-300, 1e300});
    EXPECT_THAT(doubles.values(), testing::ElementsAre(1.0f / 3, -0.0f, std::numeric_limits<float>::infinity()));
    EXPECT_THAT(read_one("I32", std::vector<int32_t>{-5, 1 << 30}).int64_values(), testing::ElementsAre(-5, 1 << 30));
    EXPECT_THAT(read_one("I8", std::vector<int8_t>{-128, 127}).int64_values(), testing::ElementsAre(-128, 127));
    EXPECT_THAT(read_one("U8", std::vector<uint8_t>{0, 255}).int64_values(), testing::ElementsAre(0, 255));
}

// Exact where a half has the value; else to the nearest, and to the even one of two that are equally near.
TEST(Safetensors, FloatsAreRoundedToHalves) {
    for (uint32_t i = 0; i < 65536; ++i) {
        const auto half = static_cast<uint16_t>(i);
        const bool nan = (half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0;
        ASSERT_EQ(float_to_half(half_to_float(half)), nan ? half | 0x200 : half);
        ASSERT_TRUE(nan || float_to_bfloat16(bfloat16_to_float(half)) == half || std::isnan(bfloat16_to_float(half)));
    }
    for (uint32_t i = 0; i + 1 < 0x7c00; ++i) {  // between neighbours
        const auto below = static_cast<uint16_t>(i), above = static_cast<uint16_t>(i + 1);
        const float middle = (half_to_float(below) + half_to_float(above)) / 2;
        ASSERT_EQ(float_to_half(middle), i % 2 == 0 ? below : above) << i;
        ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0f)), below) << i;
        ASSERT_EQ(float_to_half(std::nextafter(-middle, -1e9f)), above | 0x8000) << i;
    }
    EXPECT_EQ(float_to_half(65519.99f), 0x7bff);
    EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
    EXPECT_EQ(float_to_half(1e-8f), 0);
    EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // half-way, to even
    EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
    EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
}

TEST(Safetensors, WhatANarrowerTypeCannotHoldIsRefused) {
    const auto stored = [](const Tensor& tensor, Element element) {
        return to_stored(tensor, element_info(element)).bytes;
    };
    const Tensor large = Tensor::full({1}, 65520.0f);
    EXPECT_THAT(error_of([&] { stored(large, Element::float16); }), HasSubstr("65520 is too large for float16"));
    EXPECT_THAT(error_of([&] { stored(Tensor::full({1}, 3.4e38f), Element::bfloat16); }), HasSubstr("for bfloat16"));
    EXPECT_THAT(error_of([&] { stored(large, Element::int8); }), HasSubstr("cannot be stored as int8"));
    const Tensor number = Tensor::from_int64({1}, std::vector<int64_t>{256});
    EXPECT_THAT(error_of([&] { stored(number, Element::uint8); }), HasSubstr("256 does not fit"));
    EXPECT_THAT(error_of([&] { stored(Tensor::from_int64({1}, std::vector<int64_t>{2}), Element::boolean); }),
                HasSubstr("2 does not fit"));
    EXPECT_EQ(stored(number, Element::int16), bytes_of(std::vector<int16_t>{256}));
    EXPECT_EQ(stored(large, Element::float64), bytes_of(std::vector<double>{65520.0}));
}

TEST(Safetensors, DtypeErrors) {
    EXPECT_THAT(error_for("{" + entry("x", "F8_E4M3", "[8]", 0, 8) + "}"),
                HasSubstr("entry 'x' has the unsupported dtype 'F8_E4M3'"));
    EXPECT_THAT(error_for(R"({"x":{"dtype":3,"shape":[],"data_offsets":[0,8]}})"), HasSubstr("'dtype' is not a text"));
}

TEST(Safetensors, ShapeErrors) {
    const auto error = [](const std::string& shape) { return error_for("{" + entry("x", "F32", shape, 0, 8) + "}"); };
    EXPECT_THAT(error("[3]"), HasSubstr("entry 'x': its shape [3] needs 12 bytes, its offsets give 8"));
    EXPECT_THAT(error("[-2]"), HasSubstr("something else than non-negative integers"));
    EXPECT_THAT(error("[2.0]"), HasSubstr("something else than non-negative integers"));
    EXPECT_THAT(error("2"), HasSubstr("'shape' is not a list"));
    EXPECT_THAT(error("[18446744073709551615]"), HasSubstr("absurd shape"));
    EXPECT_THAT(error("[1099511627776,1099511627776,0]"), HasSubstr("2^40"));
    EXPECT_THAT(error("[0,1099511627776,1099511627776]"), HasSubstr("2^40"));
    std::string dimensions = "[1";
    for (int i = 1; i < 65; ++i) dimensions += ",1";
    EXPECT_THAT(error(dimensions + "]"), HasSubstr("has 65 dimensions, at most 64 are read"));
}

TEST(Safetensors, OffsetsMustCoverTheDataExactly) {
    const auto two = [](int a, int b, int c, int d) {
        return error_for("{" + entry("a", "F32", "[1]", a, b) + "," + entry("b", "F32", "[1]", c, d) + "}");
    };
    EXPECT_THAT(two(0, 4, 2, 6), HasSubstr("entry 'b' overlaps"));
    EXPECT_THAT(two(0, 4, 0, 4), HasSubstr("entry 'b' overlaps"));
    EXPECT_THAT(two(0, 4, 4, 12), HasSubstr("ends at byte 12 of the data, which has only 8"));
    EXPECT_THAT(error_for("{" + entry("a", "F32", "[1]", 4, 8) + "}"), HasSubstr("a hole of 4 bytes"));
    EXPECT_THAT(error_for("{" + entry("a", "F32", "[1]", 0, 4) + "}"), HasSubstr("4 bytes at the end belong to no"));
    EXPECT_THAT(error_for("{" + entry("a", "F32", "[1]", 4, 0) + "}"), HasSubstr("is not [begin, end]"));
    EXPECT_THAT(error_for(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})"), HasSubstr("not [begin, end]"));
    EXPECT_THAT(error_for(R"({"a":{"dtype":"F32","shape":[2]}})"), HasSubstr("has no 'data_offsets'"));
}

TEST(Safetensors, HeaderErrors) {
    EXPECT_THAT(error_for("{" + entry("a", "F32", "[1]", 0, 4) + "," + entry("a", "F32", "[1]", 4, 8) + "}"),
                HasSubstr("has the name 'a' twice"));
    EXPECT_THAT(error_for(R"({"a":{"dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,8]}})"),
                HasSubstr("'dtype' twice"));
    EXPECT_THAT(error_for("{\"a\":"), HasSubstr("not valid JSON"));
    EXPECT_THAT(error_for("[]"), HasSubstr("not a JSON object"));
    EXPECT_THAT(error_for("{\"a\":1}"), HasSubstr("entry 'a' is not a JSON object"));
    EXPECT_THAT(error_for(R"({"__metadata__":{"a":1}})"), HasSubstr("'a' is not a text"));
    EXPECT_THAT(error_for(R"({"__metadata__":[]})"), HasSubstr("__metadata__ is not"));
    EXPECT_THAT(error_for("{\"a\":" + std::string(1'000'000, '[')), HasSubstr("nested too deeply"));
    EXPECT_THAT(error_for("{\"\xff\":1}"), HasSubstr("not valid JSON"));
}

TEST(Safetensors, AbsurdHeaderLengths) {
    auto bytes = format_safetensors(to_stored(example_state()), {});
    for (const uint64_t length : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{100'000'001}}) {
        std::memcpy(bytes.data(), &length, sizeof(length));
        EXPECT_THAT(error_of([&] { parse_safetensors(bytes); }), HasSubstr("more than the format's limit"));
    }
    const uint64_t length = bytes.size();
    std::memcpy(bytes.data(), &length, sizeof(length));
    EXPECT_THAT(error_of([&] { parse_safetensors(bytes); }), HasSubstr("truncated"));
}

TEST(Safetensors, WritingRefusesWhatCannotBeReadBack) {
    const TemporaryFolder folder;
    const Tensor x = Tensor::zeros({1});
    const auto error = [&](const StateDict& state) {
        return error_of([&] { write_safetensors(folder.path("out"), state); });
    };
    EXPECT_THAT(error({{"a", x}, {"a", x}}), HasSubstr("out: entry name 'a' is used twice"));
    EXPECT_THAT(error({{"__metadata__", x}}), HasSubstr("reserved"));
    EXPECT_THAT(error({{"\xff", x}}), HasSubstr("not valid UTF-8"));
    EXPECT_THAT(error({{"a", Tensor()}}), HasSubstr("entry 'a' is undefined"));
    EXPECT_THAT(error_of([&] {
                    write_safetensors(folder.path("no/out"), {{"a", x}});
                }),
                HasSubstr("cannot be written"));
    EXPECT_FALSE(std::filesystem::exists(folder.path("out")));
}

TEST(Safetensors, EveryPrefixIsAnError) {
    const auto bytes = format_safetensors(to_stored(example_state()), {{"k", "v"}});
    for (std::size_t length = 0; length < bytes.size(); ++length)
        ASSERT_THROW(parse_safetensors(std::span(bytes).first(length)), Error) << length;
}

TEST(Safetensors, FlippedBitsAreReadOrRefused) {
    const auto good = format_safetensors(to_stored(example_state()), {{"k", "v"}});
    std::mt19937 random(1);
    int refused = 0;
    for (int round = 0; round < 5000; ++round) {
        auto bytes = good;
        for (uint32_t flips = 1 + random() % 3; flips > 0; --flips)
            bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1u << random() % 8);
        try {
            parse_safetensors(bytes);
        } catch (const Error&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace lethe::test
