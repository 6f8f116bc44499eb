#include "tensor/tensor.h"

#include <algorithm>

#include "tensor/allocator.h"
#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {

const char* name(DType dtype) {
    switch (dtype) {
        case DType::float32:
            return "float32";
        case DType::int64:
            return "int64";
        case DType::bfloat16:
            return "bfloat16";
    }
    return "";
}

const char* name(Device device) {
    switch (device) {
        case Device::cpu:
            return "cpu";
        case Device::cuda:
            return "cuda";
        case Device::emulated:
            return "emulated";
    }
    return "";
}

Device device_named(const std::string& text) {
    for (const Device device : {Device::cpu, Device::cuda, Device::emulated})
        if (text == name(device)) return device;
    fail("unknown device '", text, "'; known ones are cpu, cuda and emulated");
}

std::size_t size_of(DType dtype) {
    switch (dtype) {
        case DType::float32:
            return 4;
        case DType::int64:
            return 8;
        case DType::bfloat16:
            return 2;
    }
    return 0;
}

Storage::Storage(std::size_t byte_count, Device where) : bytes(byte_count), device(where) {
    static std::atomic<uint64_t> next_id{1};
    data = device == Device::cpu ? CachingAllocator::cpu().allocate(bytes) : backend(device).allocate(bytes);
    id = next_id.fetch_add(1, std::memory_order_relaxed);
}

Storage::~Storage() {
    if (device == Device::cpu)
        CachingAllocator::cpu().release(data, bytes);
    else
        backend(device).release(data, bytes);
}

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
        backend(device).zero(tensor.mutable_device_data(), static_cast<std::size_t>(shape.numel()) * size_of(dtype));
    return tensor;
}

Tensor Tensor::full(const Shape& shape, float value, Device device) {
    Tensor tensor = empty(shape, DType::float32, device);
    tensor.fill(value);
    return tensor;
}

Tensor Tensor::from_nchw(const Shape& shape, std::span<const float> values) {
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor: ", values.size(), " values for shape ", shape);
    Tensor tensor = empty(shape);
    float* out = tensor.mutable_data();
    if (shape.rank() < 4 || values.empty()) {  // [2^40, 1, 0, 0] must not take 2^40 steps
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

void* Tensor::host(DType expected, const char* what) const {
    check(defined(), "tensor: ", what, " of an undefined tensor");
    check(dtype_ == expected, "tensor: ", what, " needs ", name(expected), ", this one is ", name(dtype_));
    check(storage_->device == Device::cpu, "tensor: ", what, " reads the CPU's memory, this tensor is on ",
          name(storage_->device), "; copy it with cpu() first");
    return static_cast<char*>(storage_->data) + offset_ * size_of(dtype_);
}

const void* Tensor::device_data() const {
    check(defined(), "tensor: device_data of an undefined tensor");
    return static_cast<const char*>(storage_->data) + offset_ * size_of(dtype_);
}

void* Tensor::mutable_device_data() {
    check(defined(), "tensor: device_data of an undefined tensor");
    storage_->version.fetch_add(1, std::memory_order_relaxed);
    return static_cast<char*>(storage_->data) + offset_ * size_of(dtype_);
}

const float* Tensor::data() const { return static_cast<const float*>(host(DType::float32, "data")); }

float* Tensor::mutable_data() {
    void* pointer = host(DType::float32, "data");
    storage_->version.fetch_add(1, std::memory_order_relaxed);
    return static_cast<float*>(pointer);
}

const int64_t* Tensor::int64_data() const { return static_cast<const int64_t*>(host(DType::int64, "int64_data")); }

int64_t* Tensor::mutable_int64_data() {
    void* pointer = host(DType::int64, "int64_data");
    storage_->version.fetch_add(1, std::memory_order_relaxed);
    return static_cast<int64_t*>(pointer);
}

Tensor Tensor::to(Device device) const {
    if (this->device() == device) return *this;
    Tensor copy = empty(shape_, dtype_, device);
    copy.copy_from(*this);
    return copy;
}

std::vector<float> Tensor::to_nchw() const {
    if (rank() == 4 && device() != Device::cpu) {  // reordered there: a GPU does it while it reads
        const Tensor matrix = backend(device()).nhwc_to_nchw(*this).cpu();
        return {matrix.values().begin(), matrix.values().end()};
    }
    const Tensor here = cpu();
    const float* in = here.data();
    std::vector<float> values(static_cast<std::size_t>(numel()));
    if (rank() < 4 || values.empty()) {
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
    return cpu().data()[0];
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

Tensor Tensor::as_matrix() const {
    check(rank() == 2 || rank() == 3, "tensor: as_matrix() needs [M,F] or [N,T,F], got ", shape_);
    return rank() == 2 ? *this : reshape({dim(0) * dim(1), dim(2)});
}

Tensor Tensor::rows_as_pixels() const {
    check(rank() == 3, "tensor: rows_as_pixels() needs [N,T,F], got ", shape_);
    Tensor view = *this;
    view.shape_ = {dim(0), dim(2), 1, dim(1)};
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
    const std::size_t bytes = static_cast<std::size_t>(numel()) * size_of(dtype_);
    if (bytes == 0) return;
    const Device from = source.device(), to = device();
    void* target = mutable_device_data();
    if (from == to)
        backend(to).copy_within(target, source.device_data(), bytes);
    else if (from == Device::cpu)
        backend(to).copy_from_host(target, source.device_data(), bytes);
    else if (to == Device::cpu)
        backend(from).copy_to_host(target, source.device_data(), bytes);
    else
        copy_from(source.cpu());
}

void Tensor::fill(float value) { backend(device()).fill(*this, value); }

}  // namespace lethe
