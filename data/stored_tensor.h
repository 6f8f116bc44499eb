// A tensor as a weight file stores it: any of the file's element types, any number of dimensions, bytes untouched.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/element.h"
#include "tensor/tensor.h"

namespace lethe {

struct StoredTensor {
    const ElementInfo* element = &element_info(Element::float32);
    std::vector<int64_t> sizes;
    std::vector<uint8_t> bytes;  // contiguous, row-major, little-endian; numel() * element->bytes of them

    int64_t numel() const;
};

// Entries of a weight file by name, in the file's order.
using StoredState = std::vector<std::pair<std::string, StoredTensor>>;

// The product of the sizes. Throws Error for more than 64 dimensions (PyTorch's limit), a negative size, or more than
// 2^40 elements, zero sizes counted as 1.
int64_t element_count(const std::vector<int64_t>& sizes);
std::string shape_text(const std::vector<int64_t>& sizes);  // "[64, 3, 7, 7]"

// Bounds what a file may grow to in memory: a view that repeats one element or a compressed entry can ask for
// terabytes with a few bytes. Honest files stay far below: weights hardly compress.
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

// Copies a view of `storage`. Throws Error for sizes or strides that are negative or leave the storage.
StoredTensor gather(const ElementInfo& element, std::span<const uint8_t> storage, const StridedLayout& layout,
                    MemoryBudget& budget);

// For a model: floating types as float32 (float64 is rounded to the nearest), the others as int64. On the CPU. Throws
// Error for more than four dimensions.
Tensor to_tensor(const StoredTensor& stored);

// For a file, in logical order, from any device. Floating values are rounded to the nearest of a narrower type; throws
// Error when a finite value would become infinite, an integer does not fit, or the kinds differ.
StoredTensor to_stored(const Tensor& tensor);
StoredTensor to_stored(const Tensor& tensor, const ElementInfo& element);
StoredState to_stored(const StateDict& state);

}  // namespace lethe
