#include "cuda/vendor.h"

#include <cstdlib>
#include <string_view>

#include "cuda/cublas/matmul.h"
#include "cuda/cudnn/convolution.h"
#include "cuda/cudnn/library.h"

namespace lethe::cuda {
namespace {

// A block of the caching allocator for one call; the stream's order protects it after its release.
class Workspace {
public:
    Workspace(CachingAllocator& allocator, std::size_t bytes)
        : allocator_(allocator), bytes_(bytes), block_(bytes > 0 ? allocator.allocate(bytes) : nullptr) {}
    ~Workspace() { allocator_.release(block_, bytes_); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    void* get() const { return block_; }

private:
    CachingAllocator& allocator_;
    std::size_t bytes_;
    void* block_;
};

const void* address_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.device_data() : nullptr; }

// LETHE_CUDNN=off: every convolution by our own kernels, to compare with.
bool cudnn_wanted() {
    const char* choice = std::getenv("LETHE_CUDNN");
    if (choice == nullptr || std::string_view(choice) == "on") return true;
    check(std::string_view(choice) == "off", "LETHE_CUDNN is '", choice, "'; on (the default) or off would be right");
    return false;
}

ConvolutionOptions options_from_environment() {
    ConvolutionOptions options;
    if (const char* plans = std::getenv("LETHE_CUDNN_TUNE")) options.tuned_plans = std::atoi(plans);
    if (const char* file = std::getenv("LETHE_CUDNN_TUNE_FILE")) options.tuning_file = file;
    return options;
}

ConvolutionKind forward_kind(bool bias, bool residual, bool relu) {
    if (!bias) return ConvolutionKind::forward;
    if (residual) return relu ? ConvolutionKind::forward_bias_residual_relu : ConvolutionKind::forward_bias_residual;
    return relu ? ConvolutionKind::forward_bias_relu : ConvolutionKind::forward_bias;
}

class CudnnAndCublas : public VendorLibraries {
public:
    CudnnAndCublas(cudaStream_t stream, CachingAllocator& workspace)
        : stream_(stream),
          workspace_(workspace),
          plans_are_measured_(options_from_environment().tuned_plans > 0),
          convolutions_(options_from_environment()) {}

    std::string description() const override {
        return concat("cuDNN ", cudnn_version(), ", cuBLASLt ", Matmul::version());
    }

    bool conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                const Conv2d& op, Precision precision, Tensor& y) override {
        if (ours_is_faster(x, precision) || (!bias.defined() && (residual.defined() || relu))) return false;
        const Tensor shift = bias.defined() ? backend(bias).cast(bias, x.dtype()) : bias;
        const ConvolutionKey key = convolution_key(forward_kind(bias.defined(), residual.defined(), relu), x.shape(),
                                                   w.shape(), op, storage_precision(x, precision));
        return execute(key, {.x = x.device_data(),
                             .w = w.device_data(),
                             .bias = address_or_null(shift),
                             .added = address_or_null(residual),
                             .out = y.mutable_device_data()});
    }

    bool conv2d_grad_x(const Tensor& grad_y, const Tensor& w, const Tensor& skip, const Tensor& mask, const Conv2d& op,
                       Precision precision, Tensor& grad_x) override {
        if (ours_is_faster(grad_y, precision)) return false;
        const ConvolutionKind kind = !mask.defined()  ? ConvolutionKind::grad_x
                                     : skip.defined() ? ConvolutionKind::grad_x_skip_relu_mask
                                                      : ConvolutionKind::grad_x_relu_mask;
        const ConvolutionKey key =
            convolution_key(kind, grad_x.shape(), w.shape(), op, storage_precision(grad_y, precision));
        return execute(key, {.w = w.device_data(),
                             .grad_y = grad_y.device_data(),
                             .added = address_or_null(skip),
                             .mask = address_or_null(mask),
                             .out = grad_x.mutable_device_data()});
    }

    bool conv2d_grad_w(const Tensor& grad_y, const Tensor& x, const Conv2d& op, Precision precision,
                       Tensor& grad_w) override {
        // Of bfloat16, cuDNN writes the gradient in bfloat16 (summed in float32).
        Tensor written = x.dtype() == grad_w.dtype() ? grad_w : Tensor::empty(grad_w.shape(), x.dtype(), x.device());
        const ConvolutionKey key =
            convolution_key(ConvolutionKind::grad_w, x.shape(), grad_w.shape(), op, storage_precision(x, precision));
        if (!execute(key, {.x = x.device_data(), .grad_y = grad_y.device_data(), .out = written.mutable_device_data()}))
            return false;
        grad_w = backend(written).cast(written, DType::float32);
        return true;
    }

    bool matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& bias,
                Precision precision, Tensor& c) override {
        const MatmulKey key{.m = c.dim(0),
                            .n = c.dim(1),
                            .k = a.dim(transpose_a ? 0 : 1),
                            .transpose_a = transpose_a,
                            .transpose_b = transpose_b,
                            .bias = bias.defined(),
                            .tf32 = precision != Precision::strict};
        return products_.run(key, static_cast<const float*>(a.device_data()),
                             static_cast<const float*>(b.device_data()),
                             static_cast<const float*>(address_or_null(bias)),
                             static_cast<float*>(c.mutable_device_data()), workspace_, stream_);
    }

    uint64_t plans_built() const override { return convolutions_.built(); }

private:
    // What is stored as bfloat16 is multiplied as bfloat16; of float32, "bf16" multiplies as TF32.
    static Precision storage_precision(const Tensor& activation, Precision precision) {
        if (activation.dtype() == DType::bfloat16) return Precision::bf16;
        return precision == Precision::strict ? Precision::strict : Precision::tf32;
    }

    // Forward, and gradient for x. In float32 without tensor cores the first choices of cuDNN's heuristics turn the
    // images round and some take the way over a Fourier transform: on an H100 they took 0.9 to 6 times as long as our
    // kernels, for ResNet-20 and ResNet-18 as a whole 1.6 and 1.1 times. Its gradients for the weights are the better
    // ones, and so, for wide layers, are plans that it is asked to measure.
    bool ours_is_faster(const Tensor& activation, Precision precision) const {
        return storage_precision(activation, precision) == Precision::strict && !plans_are_measured_;
    }

    bool execute(const ConvolutionKey& key, const ConvolutionOperands& operands) {
        if (!cudnn_wanted_ || !aligned_for_cudnn(operands) || !convolutions_.supported(key)) return false;
        const Workspace workspace(workspace_, convolutions_.workspace_bytes(key));
        convolutions_.execute(key, operands, workspace.get(), stream_);
        return true;
    }

    cudaStream_t stream_;
    CachingAllocator& workspace_;
    bool cudnn_wanted_ = cudnn_wanted(), plans_are_measured_;
    ConvolutionPlans convolutions_;
    Matmul products_;
};

}  // namespace

std::unique_ptr<VendorLibraries> make_vendor_libraries(cudaStream_t stream, CachingAllocator& workspace) {
    if (!cudnn_problem().empty() || !cublas_problem().empty()) return nullptr;
    return std::make_unique<CudnnAndCublas>(stream, workspace);
}

}  // namespace lethe::cuda
