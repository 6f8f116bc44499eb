// Element types as weight files store them, and their conversion to the two that tensors have.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

enum class Element { float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, boolean };

struct ElementInfo {
    Element element;
    std::string_view name;           // as PyTorch prints it, "bfloat16"
    std::string_view safetensors;    // "BF16"
    std::string_view torch_storage;  // "BFloat16Storage"
    int64_t bytes;
    DType dtype;  // what it becomes
};

// Null when there is no such type.
const ElementInfo* element_by_safetensors(std::string_view code);
const ElementInfo* element_by_torch_storage(std::string_view storage);

float half_to_float(uint16_t half);          // IEEE 754 binary16; exact
float bfloat16_to_float(uint16_t bfloat16);  // the upper half of a float32; exact

// Bounds what a file may grow to in memory: a view that repeats one element or a compressed entry can ask for
// terabytes with a few bytes. Honest files stay far below: int8 becomes int64 (8x), weights hardly compress.
class MemoryBudget {
public:
    explicit MemoryBudget(std::size_t file_bytes);
    void charge(int64_t bytes);  // throws Error when the file has used up its allowance

private:
    int64_t left_;
};

// Where a tensor's elements lie in a storage; all in elements, sizes and strides of equal length.
struct StridedLayout {
    int64_t offset = 0;
    std::vector<int64_t> sizes;
    std::vector<int64_t> strides;
};

StridedLayout contiguous_layout(const std::vector<int64_t>& sizes);

// Copies a view of `storage` into a contiguous tensor: floating types as float32, the others as int64.
// Throws Error for more than four dimensions, sizes or strides that are negative or leave the storage.
Tensor gather(const ElementInfo& element, std::span<const uint8_t> storage, const StridedLayout& layout,
              MemoryBudget& budget);

}  // namespace lethe
