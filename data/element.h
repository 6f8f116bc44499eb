// Element types as weight files store them, and single values of those that C++ has no type for.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace lethe {

enum class Element { float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, boolean };

struct ElementInfo {
    Element element;
    std::string_view name;           // as PyTorch prints it, "bfloat16"
    std::string_view safetensors;    // "BF16"
    std::string_view torch_storage;  // "BFloat16Storage"
    std::string_view numpy;          // "<f4"; empty: NumPy has no such type
    int64_t bytes;
    DType dtype;  // what it becomes in a model: floating types float32, the others int64
};

const ElementInfo& element_info(Element element);
// The type that holds a tensor's values as they are: float32 or int64.
const ElementInfo& element_of(DType dtype);
// Null when there is no such type.
const ElementInfo* element_by_name(std::string_view name);
const ElementInfo* element_by_safetensors(std::string_view code);
const ElementInfo* element_by_torch_storage(std::string_view storage);
const ElementInfo* element_by_numpy(std::string_view descr);

float half_to_float(uint16_t half);          // IEEE 754 binary16; exact
float bfloat16_to_float(uint16_t bfloat16);  // the upper half of a float32; exact
uint16_t float_to_half(float value);         // to the nearest, ties to even; beyond 65519.99 infinity
uint16_t float_to_bfloat16(float value);     // to the nearest, ties to even

}  // namespace lethe
