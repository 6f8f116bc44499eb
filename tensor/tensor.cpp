#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>

#include "tensor/allocator.h"
#include "tensor/error.h"

namespace lethe {
namespace {

std::size_t size_of(DType dtype) { return dtype == DType::float32 ? sizeof(float) : sizeof(int64_t); }

}  // namespace

const char* name(DType dtype) { return dtype == DType::float32 ? "float32" : "int64"; }
const char* name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

Storage::Storage(std::size_t byte_count, Device where) : bytes(byte_count), device(where) {
    static std::atomic<uint64_t> next_id{1};
    check(device == Device::cpu, "tensor: this build keeps tensors on the CPU only");
    data = CachingAllocator::cpu().allocate(bytes);
    id = next_id.fetch_add(1, std::memory_order_relaxed);
}

Storage::~Storage() { CachingAllocator::cpu().release(data, bytes); }

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
    Tensor tensor;
    tensor.shape_ = shape;
    tensor.dtype_ = dtype;
    tensor.storage_ = std::make_shared<Storage>(static_cast<std::size_t>(shape.numel()) * size_of(dtype), device);
    return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
    Tensor tensor = empty(shape, dtype, device);
    if (shape.numel() > 0)
        std::memset(tensor.raw(dtype, "zeros"), 0, static_cast<std::size_t>(shape.numel()) * size_of(dtype));
    return tensor;
}

Tensor Tensor::full(const Shape& shape, float value) {
    Tensor tensor = empty(shape);
    tensor.fill(value);
    return tensor;
}

Tensor Tensor::from_nchw(const Shape& shape, std::span<const float> values) {
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor: ", values.size(), " values for shape ", shape);
    Tensor tensor = empty(shape);
    float* out = tensor.mutable_data();
    if (shape.rank() < 4) {
        std::copy(values.begin(), values.end(), out);
        return tensor;
    }
    const int64_t n = shape[0], c = shape[1], area = shape[2] * shape[3];
    for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k < c; ++k)
            for (int64_t p = 0; p < area; ++p)
                out[(i * area + p) * c + k] = values[static_cast<std::size_t>((i * c + k) * area + p)];
    return tensor;
}

Tensor Tensor::from_int64(const Shape& shape, std::span<const int64_t> values) {
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor: ", values.size(), " values for shape ", shape);
    check(shape.rank() < 4, "tensor: int64 tensors have at most three dimensions, got ", shape);
    Tensor tensor = empty(shape, DType::int64);
    std::copy(values.begin(), values.end(), tensor.mutable_int64_data());
    return tensor;
}

Device Tensor::device() const {
    check(defined(), "tensor: an undefined tensor has no device");
    return storage_->device;
}

void* Tensor::raw(DType expected, const char* what) const {
    check(defined(), "tensor: ", what, " of an undefined tensor");
    check(dtype_ == expected, "tensor: ", what, " needs ", name(expected), ", this one is ", name(dtype_));
    return static_cast<char*>(storage_->data) + offset_ * size_of(dtype_);
}

const float* Tensor::data() const { return static_cast<const float*>(raw(DType::float32, "data")); }

float* Tensor::mutable_data() {
    void* pointer = raw(DType::float32, "data");
    storage_->version.fetch_add(1, std::memory_order_relaxed);
    return static_cast<float*>(pointer);
}

const int64_t* Tensor::int64_data() const { return static_cast<const int64_t*>(raw(DType::int64, "int64_data")); }

int64_t* Tensor::mutable_int64_data() {
    void* pointer = raw(DType::int64, "int64_data");
    storage_->version.fetch_add(1, std::memory_order_relaxed);
    return static_cast<int64_t*>(pointer);
}

std::vector<float> Tensor::to_nchw() const {
    const float* in = data();
    std::vector<float> values(static_cast<std::size_t>(numel()));
    if (rank() < 4) {
        std::copy(in, in + numel(), values.begin());
        return values;
    }
    const int64_t n = dim(0), c = dim(1), area = dim(2) * dim(3);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k < c; ++k)
            for (int64_t p = 0; p < area; ++p)
                values[static_cast<std::size_t>((i * c + k) * area + p)] = in[(i * area + p) * c + k];
    return values;
}

float Tensor::item() const {
    check(numel() == 1, "tensor: item() needs one element, this one is ", shape_);
    return data()[0];
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
    check(defined() && rank() > 0, "tensor: rows() needs a first dimension");
    check(0 <= begin && begin <= end && end <= dim(0), "tensor: rows [", begin, ", ", end, ") of ", shape_);
    Tensor view = *this;
    const int64_t row = dim(0) > 0 ? numel() / dim(0) : 0;
    view.offset_ += static_cast<std::size_t>(begin * row);
    view.shape_ = shape_.with_rows(end - begin);
    return view;
}

Tensor Tensor::reshape(const Shape& shape) const {
    check(shape.numel() == numel(), "tensor: cannot reshape ", shape_, " to ", shape);
    const auto order_matters = [](const Shape& s) { return s.rank() == 4 && s[1] > 1 && s[2] * s[3] > 1; };
    check(shape == shape_ || (!order_matters(shape_) && !order_matters(shape)), "tensor: reshaping ", shape_, " to ",
          shape, " would reorder channels-last memory");
    Tensor view = *this;
    view.shape_ = shape;
    return view;
}

Tensor Tensor::pixel_rows() const {
    check(rank() == 4, "tensor: pixel_rows() needs [N,C,H,W], got ", shape_);
    Tensor view = *this;
    view.shape_ = {dim(0) * dim(2) * dim(3), dim(1)};
    return view;
}

Tensor Tensor::clone() const {
    Tensor copy = empty(shape_, dtype_, device());
    copy.copy_from(*this);
    return copy;
}

void Tensor::copy_from(const Tensor& source) {
    check(source.shape_ == shape_ && source.dtype_ == dtype_, "tensor: cannot copy ", name(source.dtype_), " ",
          source.shape_, " into ", name(dtype_), " ", shape_);
    const void* from = source.raw(dtype_, "copy_from");
    void* to = raw(dtype_, "copy_from");
    storage_->version.fetch_add(1, std::memory_order_relaxed);
    std::memmove(to, from, static_cast<std::size_t>(numel()) * size_of(dtype_));
}

void Tensor::fill(float value) {
    float* out = mutable_data();
    std::fill(out, out + numel(), value);
}

}  // namespace lethe
