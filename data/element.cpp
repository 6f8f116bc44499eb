#include "data/element.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr std::array<ElementInfo, 10> elements{{
    {Element::float32, "float32", "F32", "FloatStorage", 4, DType::float32},
    {Element::float64, "float64", "F64", "DoubleStorage", 8, DType::float32},
    {Element::float16, "float16", "F16", "HalfStorage", 2, DType::float32},
    {Element::bfloat16, "bfloat16", "BF16", "BFloat16Storage", 2, DType::float32},
    {Element::int64, "int64", "I64", "LongStorage", 8, DType::int64},
    {Element::int32, "int32", "I32", "IntStorage", 4, DType::int64},
    {Element::int16, "int16", "I16", "ShortStorage", 2, DType::int64},
    {Element::int8, "int8", "I8", "CharStorage", 1, DType::int64},
    {Element::uint8, "uint8", "U8", "ByteStorage", 1, DType::int64},
    {Element::boolean, "bool", "BOOL", "BoolStorage", 1, DType::int64},
}};

const ElementInfo* find_element(std::string_view ElementInfo::*field, std::string_view value) {
    const auto found =
        std::find_if(elements.begin(), elements.end(), [&](const ElementInfo& info) { return info.*field == value; });
    return found == elements.end() ? nullptr : &*found;
}

// offset + sum (size - 1) * stride must be inside the storage. Strides never point backwards in PyTorch.
void check_bounds(const StridedLayout& layout, int64_t available) {
    check(layout.offset >= 0, "storage offset ", layout.offset, " is negative");
    int64_t last = layout.offset;
    bool overflow = false;
    for (std::size_t axis = 0; axis < layout.sizes.size(); ++axis) {
        check(layout.strides[axis] >= 0, "stride ", layout.strides[axis], " is negative");
        int64_t reach = 0;
        overflow |= __builtin_mul_overflow(layout.sizes[axis] - 1, layout.strides[axis], &reach);
        overflow |= __builtin_add_overflow(last, reach, &last);
    }
    check(!overflow && last < available, "its elements reach beyond the end of a storage of ", available, " elements");
}

// Calls put(index) with each element's index in the storage, in logical (row-major) order.
template <class Put>
void for_each_index(const StridedLayout& layout, Put&& put) {
    std::array<int64_t, Shape::max_rank> size{1, 1, 1, 1}, stride{};
    const std::size_t lead = Shape::max_rank - layout.sizes.size();
    std::copy(layout.sizes.begin(), layout.sizes.end(), size.begin() + static_cast<std::ptrdiff_t>(lead));
    std::copy(layout.strides.begin(), layout.strides.end(), stride.begin() + static_cast<std::ptrdiff_t>(lead));
    for (int64_t a = 0; a < size[0]; ++a)
        for (int64_t b = 0; b < size[1]; ++b)
            for (int64_t c = 0; c < size[2]; ++c) {
                const int64_t row = layout.offset + a * stride[0] + b * stride[1] + c * stride[2];
                for (int64_t d = 0; d < size[3]; ++d) put(row + d * stride[3]);
            }
}

// `Stored` is the type in the file, convert(Stored) its value.
template <class Stored, class Value, class Convert>
std::vector<Value> gather_values(std::span<const uint8_t> storage, const StridedLayout& layout, int64_t count,
                                 Convert&& convert) {
    std::vector<Value> values;
    values.reserve(static_cast<std::size_t>(count));
    for_each_index(layout, [&](int64_t index) {
        Stored stored;
        std::memcpy(&stored, storage.data() + static_cast<std::size_t>(index) * sizeof(Stored), sizeof(Stored));
        values.push_back(convert(stored));
    });
    return values;
}

template <class Stored, class Value>
std::vector<Value> gather_cast(std::span<const uint8_t> storage, const StridedLayout& layout, int64_t count) {
    return gather_values<Stored, Value>(storage, layout, count, [](Stored x) { return static_cast<Value>(x); });
}

std::vector<float> gather_floats(Element element, std::span<const uint8_t> storage, const StridedLayout& layout,
                                 int64_t count) {
    switch (element) {
        case Element::float32:
            return gather_cast<float, float>(storage, layout, count);
        case Element::float64:
            return gather_cast<double, float>(storage, layout, count);
        case Element::float16:
            return gather_values<uint16_t, float>(storage, layout, count, half_to_float);
        default:
            return gather_values<uint16_t, float>(storage, layout, count, bfloat16_to_float);
    }
}

std::vector<int64_t> gather_integers(Element element, std::span<const uint8_t> storage, const StridedLayout& layout,
                                     int64_t count) {
    switch (element) {
        case Element::int64:
            return gather_cast<int64_t, int64_t>(storage, layout, count);
        case Element::int32:
            return gather_cast<int32_t, int64_t>(storage, layout, count);
        case Element::int16:
            return gather_cast<int16_t, int64_t>(storage, layout, count);
        case Element::int8:
            return gather_cast<int8_t, int64_t>(storage, layout, count);
        default:
            return gather_cast<uint8_t, int64_t>(storage, layout, count);
    }
}

}  // namespace

const ElementInfo* element_by_safetensors(std::string_view code) {
    return find_element(&ElementInfo::safetensors, code);
}

const ElementInfo* element_by_torch_storage(std::string_view storage) {
    return find_element(&ElementInfo::torch_storage, storage);
}

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

MemoryBudget::MemoryBudget(std::size_t file_bytes)
    : left_((int64_t{256} << 20) + 16 * static_cast<int64_t>(file_bytes)) {}

void MemoryBudget::charge(int64_t bytes) {
    check(bytes >= 0 && bytes <= left_, "unpacks to far more memory than the file's size explains (", bytes,
          " bytes wanted, ", left_, " allowed)");
    left_ -= bytes;
}

StridedLayout contiguous_layout(const std::vector<int64_t>& sizes) {
    StridedLayout layout{0, sizes, std::vector<int64_t>(sizes.size(), 1)};
    for (std::size_t axis = sizes.size(); axis-- > 1;) {
        const bool overflow = __builtin_mul_overflow(layout.strides[axis], sizes[axis], &layout.strides[axis - 1]);
        check(!overflow, "has an absurd shape");
    }
    return layout;
}

Tensor gather(const ElementInfo& element, std::span<const uint8_t> storage, const StridedLayout& layout,
              MemoryBudget& budget) {
    check(layout.sizes.size() == layout.strides.size(), "has ", layout.sizes.size(), " sizes but ",
          layout.strides.size(), " strides");
    const Shape shape(layout.sizes);
    const int64_t count = shape.numel();
    if (count > 0) check_bounds(layout, static_cast<int64_t>(storage.size()) / element.bytes);
    budget.charge(count * static_cast<int64_t>(element.dtype == DType::float32 ? sizeof(float) : sizeof(int64_t)));
    if (element.dtype == DType::float32)
        return Tensor::from_nchw(shape, gather_floats(element.element, storage, layout, count));
    return Tensor::from_int64(shape, gather_integers(element.element, storage, layout, count));
}

}  // namespace lethe
