#include <array>
#include <cstring>

#include "cuda/backend.h"

namespace LETHE_CUDA {
namespace {

constexpr Device this_device =
#ifdef LETHE_EMULATED
    Device::emulated;
#else
    Device::cuda;
#endif

void select_device() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    check(status == cudaSuccess && count > 0, "device cuda: no usable NVIDIA GPU on this machine (",
          cudaGetErrorString(status), "); use --device cpu");
    check_cuda(cudaSetDevice(0), "cudaSetDevice");
}

CachingAllocator::Source memory_source(cudaStream_t stream) {
    const auto allocate = [](std::size_t bytes) -> void* {
        void* block = nullptr;
        if (cudaMalloc(&block, bytes) == cudaSuccess) return block;
        static_cast<void>(cudaGetLastError());  // "out of memory" is answered here, it must not surface at a launch
        return nullptr;
    };
    const auto release = [stream](void* block) {
        static_cast<void>(cudaStreamSynchronize(stream));  // a kernel in flight may still use it
        static_cast<void>(cudaFree(block));
    };
    const auto poison = [stream](void* block, std::size_t bytes) {
        check_cuda(cudaMemsetAsync(block, 0xff, bytes, stream), "cudaMemsetAsync");  // all bits set is a NaN
    };
#ifdef LETHE_EMULATED
    return {allocate, release, poison, 1, 1};  // no rounding: the redzones begin where the tensor ends
#else
    return {allocate, release, poison, 512, 4096};
#endif
}

// A captured graph with the memory it was captured with.
class GraphRecording : public Backend::Recording {
public:
    GraphRecording(GraphExec exec, cudaStream_t stream, CachingAllocator& allocator, CachingAllocator::Arena arena)
        : exec_(std::move(exec)), stream_(stream), allocator_(allocator), arena_(arena) {}
    ~GraphRecording() override {
        static_cast<void>(cudaStreamSynchronize(stream_));
        allocator_.drop_arena(arena_);
    }
    GraphRecording(const GraphRecording&) = delete;
    GraphRecording& operator=(const GraphRecording&) = delete;

    void run() override { check_cuda(cudaGraphLaunch(exec_.get(), stream_), "cudaGraphLaunch"); }

private:
    GraphExec exec_;
    cudaStream_t stream_;
    CachingAllocator& allocator_;
    CachingAllocator::Arena arena_;
};

// Two slots, each with pinned memory here and a block there: while the network works on one batch, the next one travels
// on a stream of its own. The last hop, within the device, puts it where the (perhaps recorded) step expects it.
class DoubleBuffer : public Backend::Uploader {
public:
    DoubleBuffer(cudaStream_t compute, CachingAllocator& allocator)
        : compute_(compute), copy_(make_stream()), allocator_(allocator) {
        for (Slot& slot : slots_) {
            slot.arrived = make_event();
            slot.free = make_event();
        }
    }
    ~DoubleBuffer() override {
        static_cast<void>(cudaStreamSynchronize(copy_.get()));
        for (Slot& slot : slots_) allocator_.release(slot.there, slot.bytes);
    }
    DoubleBuffer(const DoubleBuffer&) = delete;
    DoubleBuffer& operator=(const DoubleBuffer&) = delete;

    void send(const Tensor& host, Tensor& target) override {
        check(host.device() == Device::cpu && host.shape() == target.shape() && host.dtype() == target.dtype(),
              "upload: ", name(host.dtype()), " ", host.shape(), " on ", name(host.device()), " cannot become ",
              name(target.dtype()), " ", target.shape());
        const std::size_t bytes = static_cast<std::size_t>(host.numel()) * size_of(host.dtype());
        if (bytes == 0) return;
        Slot& slot = slots_[next_++ % slots_.size()];
        check_cuda(cudaEventSynchronize(slot.arrived.get()), "cudaEventSynchronize");  // its pinned memory is free
        reserve(slot, bytes);
        std::memcpy(slot.here.get(), host.device_data(), bytes);
        check_cuda(cudaStreamWaitEvent(copy_.get(), slot.free.get(), 0), "cudaStreamWaitEvent");
        check_cuda(cudaMemcpyAsync(slot.there, slot.here.get(), bytes, cudaMemcpyHostToDevice, copy_.get()),
                   "cudaMemcpyAsync");
        check_cuda(cudaEventRecord(slot.arrived.get(), copy_.get()), "cudaEventRecord");
        check_cuda(cudaStreamWaitEvent(compute_, slot.arrived.get(), 0), "cudaStreamWaitEvent");
        check_cuda(cudaMemcpyAsync(target.mutable_device_data(), slot.there, bytes, cudaMemcpyDeviceToDevice, compute_),
                   "cudaMemcpyAsync");
        check_cuda(cudaEventRecord(slot.free.get(), compute_), "cudaEventRecord");
    }

private:
    struct Slot {
        PinnedMemory here;
        void* there = nullptr;
        std::size_t bytes = 0;
        Event arrived, free;
    };

    void reserve(Slot& slot, std::size_t bytes) {
        if (slot.bytes >= bytes) return;
        check_cuda(cudaEventSynchronize(slot.free.get()), "cudaEventSynchronize");
        allocator_.release(slot.there, slot.bytes);
        slot.there = nullptr;
        slot.bytes = 0;  // true even when one of the next two throws
        slot.here = make_pinned(bytes);
        slot.there = allocator_.allocate(bytes);
        slot.bytes = bytes;
        // The block may have been used by operations that are still to run; the copy stream must not overtake them.
        check_cuda(cudaEventRecord(slot.free.get(), compute_), "cudaEventRecord");
    }

    cudaStream_t compute_;
    Stream copy_;
    CachingAllocator& allocator_;
    std::array<Slot, 2> slots_;
    std::size_t next_ = 0;
};

Stream stream_of_device() {
    select_device();
    return make_stream();
}

}  // namespace

CudaBackend::CudaBackend()
    : device_(this_device),
      stream_(stream_of_device()),
      allocator_(memory_source(stream_.get())),
      vendor_(make_vendor_libraries(stream_.get(), allocator_)) {}

CudaBackend::~CudaBackend() = default;

std::string CudaBackend::description() const {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    return concat(properties.name, ", compute capability ", properties.major, ".", properties.minor, ", ",
                  vendor_ == nullptr ? "own kernels only" : vendor_->description(), ", precision ", name(precision_));
}

void CudaBackend::copy_from_host(void* to, const void* from, std::size_t bytes) {
    check(recording_arena_ == 0, "cuda: a recorded step must not read the CPU's memory");
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_.get()), "cudaMemcpyAsync");
    synchronize();  // CUDA does not promise to have read pageable memory before; what must not wait uses an Uploader
}

void CudaBackend::copy_to_host(void* to, const void* from, std::size_t bytes) {
    check(recording_arena_ == 0, "cuda: a recorded step must not wait for the device");
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_.get()), "cudaMemcpyAsync");
    synchronize();
}

void CudaBackend::copy_within(void* to, const void* from, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()), "cudaMemcpyAsync");
}

void CudaBackend::zero(void* block, std::size_t bytes) {
    check_cuda(cudaMemsetAsync(block, 0, bytes, stream_.get()), "cudaMemsetAsync");
}

void CudaBackend::synchronize() { check_cuda(cudaStreamSynchronize(stream_.get()), "cudaStreamSynchronize"); }

std::unique_ptr<Backend::Uploader> CudaBackend::make_uploader() {
    return std::make_unique<DoubleBuffer>(stream_.get(), allocator_);
}

void CudaBackend::begin_recording() {
    check(recording_arena_ == 0, "cuda: a step is being recorded already");
    recording_arena_ = allocator_.begin_arena();
    // Relaxed: the allocator may call cudaMalloc while the step is written down.
    const cudaError_t status = cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeRelaxed);
    if (status != cudaSuccess) abandon_recording();
    check_cuda(status, "cudaStreamBeginCapture");
}

std::unique_ptr<Backend::Recording> CudaBackend::end_recording() {
    Graph graph;
    check_cuda(cudaStreamEndCapture(stream_.get(), graph.address()), "cudaStreamEndCapture");
    GraphExec exec;
    check_cuda(cudaGraphInstantiate(exec.address(), graph.get(), 0), "cudaGraphInstantiate");
    allocator_.end_arena();
    const CachingAllocator::Arena arena = std::exchange(recording_arena_, 0);
    return std::make_unique<GraphRecording>(std::move(exec), stream_.get(), allocator_, arena);
}

void CudaBackend::abandon_recording() noexcept {
    Graph dropped;
    static_cast<void>(cudaStreamEndCapture(stream_.get(), dropped.address()));
    static_cast<void>(cudaGetLastError());
    allocator_.end_arena();
    allocator_.drop_arena(std::exchange(recording_arena_, 0));
}

}  // namespace LETHE_CUDA

namespace lethe {

#ifdef LETHE_EMULATED
std::unique_ptr<Backend> make_emulated_backend() { return std::make_unique<emulated::CudaBackend>(); }
#else
std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<cuda::CudaBackend>(); }
#endif

}  // namespace lethe
