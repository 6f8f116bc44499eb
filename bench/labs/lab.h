// Kernel labs: one operation in numbered versions, from the first idea to the kernel that is shipped. Each version is
// compared with a double-precision oracle and, on a GPU, timed against the most that this GPU does. See docs/labs.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda/target.h"
#include "cuda/vendor.h"

namespace LETHE_CUDA::labs {

#ifdef LETHE_EMULATED
constexpr bool is_emulated = true;
constexpr Device lab_device = Device::emulated;
#else
constexpr bool is_emulated = false;
constexpr Device lab_device = Device::cuda;
#endif

// The arrays of one run, on the device.
struct Operands {
    std::vector<Tensor> in;
    std::vector<Tensor> out;  // NaN, or what the operation changes in place; a run may put new tensors here
    Tensor workspace;         // Problem::workspace floats, all NaN; undefined when that is 0
};

// What limits an operation at best: memory, or arithmetic in float32 or, on tensor cores, in TF32.
enum class Bound { memory, fp32, tf32 };
const char* name(Bound bound);

struct Version {
    std::string name;  // v1, v2, ...
    std::string idea;  // what it changes, in a few words
    Bound bound;
    // In the order of the stream, or of the device's backend: what is shipped is started through backend().
    std::function<void(Operands&, cudaStream_t)> run;
};

// What NVIDIA's library does with the same operands, for the line beside the versions.
struct Vendor {
    std::string name;
    Bound bound;
    bool same_result;  // false: it does as much work, but is another operation, so there is nothing to compare
    // Returns false where there is no library, or it has no plan. The libraries may be null.
    std::function<bool(VendorLibraries*, Operands&, cudaStream_t)> run;
};

// What one element of the result must be. A result is a sum of terms; `spread` is the square root of the sum of their
// squares, which is how large sums of terms of either sign are on the way, whatever they end as.
struct Expected {
    double value, spread;
};

// A lab at one size.
struct Problem {
    std::string size;
    // What the operation asks for, whatever a version does: each operand moved once, each product and sum counted.
    double bytes, operations;
    double terms;  // of the longest sum behind an element
    std::vector<Tensor> in, out;
    std::int64_t workspace = 0;
    std::function<Expected(std::int64_t)> oracle;  // of an element of the `out`, one after the other, in storage order
    std::vector<Version> versions;                 // the last one is what is shipped
    std::vector<Vendor> vendors;

    double work(Bound bound) const { return bound == Bound::memory ? bytes : operations; }
    std::int64_t results() const;  // elements of all `out`
};

using Size = std::vector<std::int64_t>;

struct Lab {
    std::string name, about;
    std::vector<Size> odd;          // small and awkward: every element is compared
    std::vector<Size> small, full;  // timed on a GPU; a sample is compared
    Problem (*problem)(const Size& size);
};

Lab sgemm_lab();
Lab conv2d_lab();
Lab batchnorm_lab();
Lab softmax_cross_entropy_lab();
Lab elementwise_lab();
Lab pgd_step_lab();
Lab importance_lab();
std::vector<Lab> all_labs();

// Arrays on the CPU, in storage order. Random values repeat after 2^20: enough different ones, and quick to make.
Tensor random_values(const Shape& shape, std::uint64_t item, float low = -1.0f, float high = 1.0f);
Tensor unwritten(const Shape& shape);  // NaN everywhere

}  // namespace LETHE_CUDA::labs
