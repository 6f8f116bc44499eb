#include "data/element.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr std::array<ElementInfo, 10> elements{{
    {Element::float32, "float32", "F32", "FloatStorage", "<f4", 4, DType::float32},
    {Element::float64, "float64", "F64", "DoubleStorage", "<f8", 8, DType::float32},
    {Element::float16, "float16", "F16", "HalfStorage", "<f2", 2, DType::float32},
    {Element::bfloat16, "bfloat16", "BF16", "BFloat16Storage", "", 2, DType::float32},
    {Element::int64, "int64", "I64", "LongStorage", "<i8", 8, DType::int64},
    {Element::int32, "int32", "I32", "IntStorage", "<i4", 4, DType::int64},
    {Element::int16, "int16", "I16", "ShortStorage", "<i2", 2, DType::int64},
    {Element::int8, "int8", "I8", "CharStorage", "|i1", 1, DType::int64},
    {Element::uint8, "uint8", "U8", "ByteStorage", "|u1", 1, DType::int64},
    {Element::boolean, "bool", "BOOL", "BoolStorage", "|b1", 1, DType::int64},
}};

const ElementInfo* find_element(std::string_view ElementInfo::*field, std::string_view value) {
    const auto found = std::find_if(elements.begin(), elements.end(),
                                    [&](const ElementInfo& info) { return !value.empty() && info.*field == value; });
    return found == elements.end() ? nullptr : &*found;
}

}  // namespace

const ElementInfo& element_info(Element element) { return elements[static_cast<std::size_t>(element)]; }

const ElementInfo& element_of(DType dtype) {
    return element_info(dtype == DType::float32 ? Element::float32 : Element::int64);
}

const ElementInfo* element_by_name(std::string_view name) { return find_element(&ElementInfo::name, name); }

const ElementInfo* element_by_safetensors(std::string_view code) {
    return find_element(&ElementInfo::safetensors, code);
}

const ElementInfo* element_by_torch_storage(std::string_view storage) {
    return find_element(&ElementInfo::torch_storage, storage);
}

const ElementInfo* element_by_numpy(std::string_view descr) { return find_element(&ElementInfo::numpy, descr); }

float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half >> 15) << 31;
    const uint32_t exponent = (half >> 10) & 31u, fraction = half & 1023u;
    if (exponent == 0) {  // zero or subnormal: fraction * 2^-24
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
    }
    const uint32_t wide = exponent == 31 ? 255 : exponent + (127 - 15);  // 31 holds infinities and NaNs
    return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

float bfloat16_to_float(uint16_t bfloat16) { return std::bit_cast<float>(static_cast<uint32_t>(bfloat16) << 16); }

uint16_t float_to_half(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 16 & 0x8000u;
    if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520, half-way to 2^16
    if (magnitude < 0x38800000u) {  // below 2^-14 a half counts units of 2^-24, as a float between 1/2 and 1 does
        const uint32_t counted = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f);
        return static_cast<uint16_t>(sign | (counted - std::bit_cast<uint32_t>(0.5f)));
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return static_cast<uint16_t>(sign | (rounded - ((127u - 15u) << 23)) >> 13);
}

uint16_t float_to_bfloat16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40u);  // a NaN whatever is cut off
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace lethe
