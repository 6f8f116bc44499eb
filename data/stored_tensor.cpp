#include "data/stored_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "data/byte_reader.h"
#include "tensor/error.h"

namespace lethe {
namespace {

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

// Axes of one element may have any stride; without them, one step past an axis' end stays within int64.
StridedLayout without_single_axes(const StridedLayout& layout) {
    StridedLayout kept{layout.offset, {}, {}};
    for (std::size_t axis = 0; axis < layout.sizes.size(); ++axis) {
        if (layout.sizes[axis] == 1) continue;
        kept.sizes.push_back(layout.sizes[axis]);
        kept.strides.push_back(layout.strides[axis]);
    }
    return kept;
}

// `bounded` has no empty and no single axes, and lies within the storage.
template <std::size_t width>
void copy_strided(const StridedLayout& bounded, const uint8_t* storage, std::vector<uint8_t>& out) {
    std::vector<int64_t> at(bounded.sizes.size(), 0);
    int64_t index = bounded.offset;
    for (std::size_t done = 0; done < out.size(); done += width) {
        std::memcpy(out.data() + done, storage + static_cast<std::size_t>(index) * width, width);
        for (std::size_t axis = at.size(); axis-- > 0;) {
            index += bounded.strides[axis];
            if (++at[axis] < bounded.sizes[axis]) break;
            index -= bounded.strides[axis] * bounded.sizes[axis];
            at[axis] = 0;
        }
    }
}

void copy_elements(const StridedLayout& layout, int64_t width, const uint8_t* storage, std::vector<uint8_t>& out) {
    const StridedLayout bounded = without_single_axes(layout);
    if (bounded.strides == contiguous_layout(bounded.sizes).strides) {
        std::memcpy(out.data(), storage + bounded.offset * width, out.size());
        return;
    }
    switch (width) {
        case 1:
            return copy_strided<1>(bounded, storage, out);
        case 2:
            return copy_strided<2>(bounded, storage, out);
        case 4:
            return copy_strided<4>(bounded, storage, out);
        default:
            return copy_strided<8>(bounded, storage, out);
    }
}

// `From` is the type in memory at `bytes`, convert(From) the value as it is wanted.
template <class From, class To, class Convert>
std::vector<To> convert_all(std::span<const uint8_t> bytes, Convert&& convert) {
    std::vector<To> values(bytes.size() / sizeof(From));
    for (std::size_t i = 0; i < values.size(); ++i) {
        From value;
        std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
        values[i] = convert(value);
    }
    return values;
}

template <class From, class To>
std::vector<To> cast_all(std::span<const uint8_t> bytes) {
    return convert_all<From, To>(bytes, [](From value) { return static_cast<To>(value); });
}

std::vector<float> floats_of(const StoredTensor& stored) {
    switch (stored.element->element) {
        case Element::float32:
            return cast_all<float, float>(stored.bytes);
        case Element::float64:
            return cast_all<double, float>(stored.bytes);
        case Element::float16:
            return convert_all<uint16_t, float>(stored.bytes, half_to_float);
        default:
            return convert_all<uint16_t, float>(stored.bytes, bfloat16_to_float);
    }
}

std::vector<int64_t> integers_of(const StoredTensor& stored) {
    switch (stored.element->element) {
        case Element::int64:
            return cast_all<int64_t, int64_t>(stored.bytes);
        case Element::int32:
            return cast_all<int32_t, int64_t>(stored.bytes);
        case Element::int16:
            return cast_all<int16_t, int64_t>(stored.bytes);
        case Element::int8:
            return cast_all<int8_t, int64_t>(stored.bytes);
        default:
            return cast_all<uint8_t, int64_t>(stored.bytes);
    }
}

template <class T>
std::vector<uint8_t> copied_bytes(std::span<const T> values) {
    std::vector<uint8_t> bytes(values.size_bytes());
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

template <class To, class From, class Convert>
std::vector<uint8_t> bytes_as(std::span<const From> values, Convert&& convert) {
    std::vector<To> converted(values.size());
    std::transform(values.begin(), values.end(), converted.begin(), convert);
    return copied_bytes<To>(converted);
}

uint16_t checked_half(float value) {
    check(!std::isfinite(value) || std::abs(value) < 65520.0f, "its value ", value, " is too large for float16");
    return float_to_half(value);
}

uint16_t checked_bfloat16(float value) {
    const uint16_t result = float_to_bfloat16(value);
    check(!std::isfinite(value) || std::isfinite(bfloat16_to_float(result)), "its value ", value,
          " is too large for bfloat16");
    return result;
}

std::vector<uint8_t> float_bytes(std::span<const float> values, Element element) {
    switch (element) {
        case Element::float32:
            return copied_bytes(values);
        case Element::float64:
            return bytes_as<double>(values, [](float value) { return static_cast<double>(value); });
        case Element::float16:
            return bytes_as<uint16_t>(values, checked_half);
        default:
            return bytes_as<uint16_t>(values, checked_bfloat16);
    }
}

template <class To>
std::vector<uint8_t> narrow_bytes(std::span<const int64_t> values, int64_t most = std::numeric_limits<To>::max()) {
    return bytes_as<To>(values, [most](int64_t value) {
        check(value >= std::numeric_limits<To>::min() && value <= most, "its value ", value,
              " does not fit the type it is to be stored as");
        return static_cast<To>(value);
    });
}

std::vector<uint8_t> integer_bytes(std::span<const int64_t> values, Element element) {
    switch (element) {
        case Element::int64:
            return copied_bytes(values);
        case Element::int32:
            return narrow_bytes<int32_t>(values);
        case Element::int16:
            return narrow_bytes<int16_t>(values);
        case Element::int8:
            return narrow_bytes<int8_t>(values);
        case Element::boolean:
            return narrow_bytes<uint8_t>(values, 1);
        default:
            return narrow_bytes<uint8_t>(values);
    }
}

}  // namespace

int64_t StoredTensor::numel() const { return element_count(sizes); }

int64_t element_count(const std::vector<int64_t>& sizes) {
    constexpr std::size_t max_dims = 64;
    constexpr int64_t max_count = int64_t{1} << 40;
    check(sizes.size() <= max_dims, "has ", sizes.size(), " dimensions, at most ", max_dims, " are read");
    int64_t count = 1;
    bool empty = false;
    for (const int64_t size : sizes) {
        check(size >= 0, "one of its sizes is negative (", size, ")");
        empty |= size == 0;
        check(size <= max_count / count, "its shape ", shape_text(sizes), " has more than 2^40 elements");
        count *= std::max<int64_t>(size, 1);
    }
    return empty ? 0 : count;
}

std::string shape_text(const std::vector<int64_t>& sizes) {
    std::string text = "[";
    for (const int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
    return text + "]";
}

MemoryBudget::MemoryBudget(std::size_t file_bytes)
    : left_((int64_t{64} << 20) + 16 * static_cast<int64_t>(file_bytes)) {}

void MemoryBudget::charge(int64_t bytes) {
    check(bytes >= 0 && bytes <= left_, "unpacks to far more memory than the file's size explains (", bytes,
          " bytes wanted, ", left_, " allowed)");
    left_ -= bytes;
}

StridedLayout contiguous_layout(const std::vector<int64_t>& sizes) {
    element_count(sizes);  // so that no stride overflows
    StridedLayout layout{0, sizes, std::vector<int64_t>(sizes.size(), 1)};
    for (std::size_t axis = sizes.size(); axis-- > 1;)
        layout.strides[axis - 1] = layout.strides[axis] * std::max<int64_t>(sizes[axis], 1);
    return layout;
}

StoredTensor gather(const ElementInfo& element, std::span<const uint8_t> storage, const StridedLayout& layout,
                    MemoryBudget& budget) {
    check(layout.sizes.size() == layout.strides.size(), "has ", layout.sizes.size(), " sizes but ",
          layout.strides.size(), " strides");
    const int64_t count = element_count(layout.sizes);
    if (count > 0) check_bounds(layout, static_cast<int64_t>(storage.size()) / element.bytes);
    budget.charge(count * element.bytes);
    StoredTensor tensor{&element, layout.sizes, std::vector<uint8_t>(static_cast<std::size_t>(count * element.bytes))};
    if (count > 0) copy_elements(layout, element.bytes, storage.data(), tensor.bytes);
    return tensor;
}

Tensor to_tensor(const StoredTensor& stored) {
    check(stored.sizes.size() <= Shape::max_rank, "has ", stored.sizes.size(), " dimensions, models have at most ",
          int{Shape::max_rank});
    const Shape shape(stored.sizes);
    if (stored.element->dtype == DType::float32) return Tensor::from_nchw(shape, floats_of(stored));
    return Tensor::from_int64(shape, integers_of(stored));
}

StoredTensor to_stored(const Tensor& tensor) { return to_stored(tensor, element_of(tensor.dtype())); }

StoredTensor to_stored(const Tensor& tensor, const ElementInfo& element) {
    check(tensor.defined(), "is undefined");
    check(element.dtype == tensor.dtype(), "is ", name(tensor.dtype()), " and cannot be stored as ", element.name);
    const auto& dims = tensor.shape().dims();
    StoredTensor stored{&element, {dims.begin(), dims.end()}, {}};
    if (tensor.dtype() == DType::float32) {
        stored.bytes = float_bytes(tensor.to_nchw(), element.element);
    } else {
        const Tensor here = tensor.cpu();
        stored.bytes = integer_bytes(here.int64_values(), element.element);
    }
    return stored;
}

StoredState to_stored(const StateDict& state) {
    StoredState stored;
    for (const auto& [name, tensor] : state) {
        check(tensor.defined(), "entry '", printable(name), "' is undefined");
        stored.emplace_back(name, to_stored(tensor));
    }
    return stored;
}

}  // namespace lethe
