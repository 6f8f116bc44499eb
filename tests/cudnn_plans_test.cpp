// cuDNN plans for an H200 (cuda/cudnn/h200.json), made on any machine. For precompiled kernels, which are all but the
// masked gradients, a plan is finalised just as it would be on the GPU. Masked gradients have kernels that cuDNN writes
// and compiles at run time: here cuDNN's heuristics and checks accept them, and two are compiled; loading them is what
// a GPU is needed for. That plans compute what they should is the last test's, on a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/support/cudnn_keys.h"
#include "cuda/cudnn/convolution.h"
#include "cuda/cudnn/library.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using bench::Network;
using cuda::ConvolutionKey;
using cuda::ConvolutionKind;
using cuda::PlanReport;
using testing::HasSubstr;

constexpr int64_t images = 128;
constexpr std::size_t workspace_limit = std::size_t{1} << 30;

std::string h200() {
    std::ifstream file(LETHE_SOURCE_DIR "/cuda/cudnn/h200.json");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

bool masked(const ConvolutionKey& key) {
    return key.kind == ConvolutionKind::grad_x_relu_mask || key.kind == ConvolutionKind::grad_x_skip_relu_mask;
}

ConvolutionKey example(ConvolutionKind kind, Precision precision) {
    return cuda::convolution_key(kind, {images, 64, 32, 32}, {64, 64, 3, 3}, {.stride = 1, .pad = 1}, precision);
}

class CudnnPlans : public testing::TestWithParam<Network> {};

TEST_P(CudnnPlans, AreFinalisedForEveryConvolution) {
    const std::string device = h200();
    std::size_t planned = 0;
    for (const ConvolutionKey& key : bench::keys_of(GetParam(), images)) {
        if (masked(key)) continue;
        const PlanReport report = cuda::plan_without_device(key, device);
        EXPECT_EQ(report.state, PlanReport::State::built) << describe(key) << "\n" << report.problem;
        EXPECT_FALSE(report.compiled_at_run_time) << describe(key);
        EXPECT_LE(report.workspace_bytes, workspace_limit) << describe(key);
        ++planned;
    }
    EXPECT_GE(planned, 7u * 4u * 3u);  // distinct convolutions of the smallest network, kinds, precisions
}

TEST_P(CudnnPlans, AreSupportedForMaskedGradients) {
    ASSERT_TRUE(bench::load_driver_or_stub());
    const std::string device = h200();
    for (const ConvolutionKey& key : bench::keys_of(GetParam(), images)) {
        if (!masked(key) || key.precision == Precision::strict) continue;
        const PlanReport report = cuda::plan_without_device(key, device);
        EXPECT_EQ(report.state, PlanReport::State::supported) << describe(key) << "\n" << report.problem;
        EXPECT_TRUE(report.compiled_at_run_time) << describe(key);
    }
}

std::string network_name(const testing::TestParamInfo<Network>& info) {
    std::string label = info.param.arch + "_" + info.param.stem;
    std::replace(label.begin(), label.end(), '-', '_');
    return label;
}

INSTANTIATE_TEST_SUITE_P(Network, CudnnPlans, testing::ValuesIn(bench::networks()), network_name);

// With the stub of the driver the last step fails: giving the compiled kernel to the GPU.
TEST(CudnnPlan, MaskedGradientCompiles) {
    ASSERT_TRUE(bench::load_driver_or_stub());
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
        const ConvolutionKey key = example(ConvolutionKind::grad_x_skip_relu_mask, precision);
        cuda::ConvolutionGraph graph(key, h200(), workspace_limit);
        ASSERT_GT(graph.proposals(), 0);
        ASSERT_TRUE(graph.supports(0)) << graph.refusal();
        EXPECT_TRUE(graph.compiled_at_run_time(0));
        if (graph.build(0)) continue;
        EXPECT_THAT(graph.refusal(), HasSubstr("cuLibraryLoadData")) << describe(key);
    }
}

// The backend then runs grad_x and masks the result with a kernel of its own.
TEST(CudnnPlan, MaskedGradientIsNotStrict) {
    ASSERT_TRUE(bench::load_driver_or_stub());
    for (const ConvolutionKind kind : {ConvolutionKind::grad_x_relu_mask, ConvolutionKind::grad_x_skip_relu_mask}) {
        const PlanReport report = cuda::plan_without_device(example(kind, Precision::strict), h200());
        EXPECT_GT(report.proposals, 0);
        EXPECT_EQ(report.state, PlanReport::State::none) << report.plan;
    }
}

TEST(CudnnPlan, StrictTakesNoTensorCores) {
    for (const ConvolutionKind kind : {ConvolutionKind::forward, ConvolutionKind::grad_x, ConvolutionKind::grad_w,
                                       ConvolutionKind::forward_bias_residual_relu}) {
        const PlanReport strict = cuda::plan_without_device(example(kind, Precision::strict), h200());
        const PlanReport tf32 = cuda::plan_without_device(example(kind, Precision::tf32), h200());
        EXPECT_EQ(strict.state, PlanReport::State::built) << strict.problem;
        EXPECT_NE(strict.plan, tf32.plan) << name(kind);
    }
}

// The heuristics' first choice for the stem's weight gradient adds in any order (cuDNN 9.19).
TEST(CudnnPlan, DeterministicIsARule) {
    ConvolutionKey key = cuda::convolution_key(ConvolutionKind::grad_w, {images, 3, 32, 32}, {64, 3, 3, 3},
                                               {.stride = 1, .pad = 1}, Precision::tf32);
    const PlanReport deterministic = cuda::plan_without_device(key, h200());
    key.deterministic = false;
    const PlanReport any = cuda::plan_without_device(key, h200());
    EXPECT_EQ(deterministic.state, PlanReport::State::built);
    EXPECT_EQ(any.state, PlanReport::State::built);
    EXPECT_NE(deterministic.plan, any.plan);
}

TEST(CudnnPlan, WorkspaceLimitIsARule) {
    const ConvolutionKey key = cuda::convolution_key(ConvolutionKind::forward, {images, 3, 224, 224}, {64, 3, 7, 7},
                                                     {.stride = 2, .pad = 3}, Precision::tf32);
    constexpr std::size_t mebibyte = std::size_t{1} << 20;
    EXPECT_GT(cuda::plan_without_device(key, h200()).workspace_bytes, mebibyte);
    const PlanReport small = cuda::plan_without_device(key, h200(), mebibyte);
    EXPECT_EQ(small.state, PlanReport::State::built) << small.problem;
    EXPECT_LE(small.workspace_bytes, mebibyte);
}

TEST(CudnnPlan, SaysWhatIsWrong) {
    const ConvolutionKey key = example(ConvolutionKind::forward, Precision::strict);
    const PlanReport no_device = cuda::plan_without_device(key, "{}");
    EXPECT_EQ(no_device.state, PlanReport::State::none);
    EXPECT_THAT(no_device.problem, HasSubstr(describe(key)));
    ConvolutionKey impossible = key;
    impossible.rows = 64;  // larger than the padded image
    EXPECT_THAT(cuda::plan_without_device(impossible, h200()).problem, HasSubstr(describe(impossible)));
}

TEST(CudnnKey, DescriptionsAreUnique) {
    std::set<std::string> lines;
    std::set<ConvolutionKey> keys;
    for (const Network& network : bench::networks())
        for (ConvolutionKey key : bench::keys_of(network, images))
            for (const bool deterministic : {true, false}) {
                key.deterministic = deterministic;
                keys.insert(key);
                lines.insert(describe(key));
            }
    EXPECT_EQ(lines.size(), keys.size());
}

TEST(ModelConvolutions, AreThoseOfTheModel) {
    ModelSpec spec;  // ResNet-20: 3 stages of 16, 32, 64 channels
    const auto convolutions = bench::convolutions_of(spec, 32);
    ASSERT_FALSE(convolutions.empty());
    EXPECT_EQ(convolutions.front(),
              (bench::ModelConvolution{{1, 3, 32, 32}, {16, 3, 3, 3}, {1, 1}, false, false, false}));
    const bench::ModelConvolution last{{1, 64, 8, 8}, {64, 64, 3, 3}, {1, 1}, true, true, false};
    EXPECT_THAT(convolutions, testing::Contains(last));
    const bench::ModelConvolution strided{{1, 16, 32, 32}, {32, 16, 3, 3}, {2, 1}, false, true, true};
    EXPECT_THAT(convolutions, testing::Contains(strided));
}

TEST(TuningFile, RemembersByKeyAndMachine) {
    const TemporaryFolder folder;
    const std::string path = folder.path("plans.json");
    const ConvolutionKey key = example(ConvolutionKind::forward, Precision::strict);
    cuda::TuningFile(path, "cuDNN 9 on A").store(key, "eng1", 12.5);
    cuda::TuningFile(path, "cuDNN 9 on B").store(key, "eng2", 11.5);
    EXPECT_EQ(cuda::TuningFile(path, "cuDNN 9 on A").find(key), "eng1");
    EXPECT_EQ(cuda::TuningFile(path, "cuDNN 9 on B").find(key), "eng2");
    EXPECT_FALSE(cuda::TuningFile(path, "cuDNN 9 on C").find(key).has_value());
    EXPECT_FALSE(cuda::TuningFile(path, "cuDNN 9 on A").find(example(ConvolutionKind::grad_x, Precision::strict)));
    EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(TuningFile, IgnoresWhatItCannotRead) {
    const TemporaryFolder folder;
    const ConvolutionKey key = example(ConvolutionKind::forward, Precision::strict);
    for (const char* contents :
         {"", "{\"cuDNN 9 on A\": {", "[1, 2]", "{\"cuDNN 9 on A\": {\"forward\": {\"plan\": 3}}}"}) {
        const std::string path = folder.path("plans.json");
        std::ofstream(path) << contents;
        testing::internal::CaptureStderr();
        cuda::TuningFile file(path, "cuDNN 9 on A");
        EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("warning: ignoring " + path));
        EXPECT_FALSE(file.find(key).has_value());
        file.store(key, "eng1", 12.5);
        EXPECT_EQ(cuda::TuningFile(path, "cuDNN 9 on A").find(key), "eng1");
    }
}

TEST(TuningFile, SaysWhereItCannotWrite) {
    cuda::TuningFile file("/nowhere/plans.json", "cuDNN 9 on A");
    const ConvolutionKey key = example(ConvolutionKind::forward, Precision::strict);
    EXPECT_THAT(error_of([&] { file.store(key, "eng1", 12.5); }), HasSubstr("/nowhere/plans.json"));
}

bool gpu_here() {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

TEST(ConvolutionPlans, NeedAGpu) {
    if (gpu_here()) GTEST_SKIP() << "there is a GPU";
    EXPECT_THAT(error_of([] { cuda::ConvolutionPlans plans; }), HasSubstr("cuDNN: cannot create a handle"));
}

// Whole numbers of at most 1: their products, and sums of at most 256 of them, are exact in every precision.
Tensor small_numbers(const Shape& shape, uint64_t seed) {
    Tensor tensor = random_tensor(shape, seed);
    float* values = tensor.mutable_data();
    for (int64_t i = 0; i < tensor.numel(); ++i) values[i] = std::clamp(std::round(values[i]), -1.0f, 1.0f);
    return tensor;
}

using DeviceMemory = cuda::Handle<void*, cudaFree>;

std::size_t size_on_device(const Tensor& tensor, Precision precision) {
    return static_cast<std::size_t>(tensor.numel()) * (precision == Precision::bf16 ? 2 : 4);
}

DeviceMemory device_memory(std::size_t bytes) {
    DeviceMemory memory;
    cuda::check_cuda(cudaMalloc(memory.address(), bytes), "cudaMalloc");
    return memory;
}

DeviceMemory to_device(const Tensor& tensor, Precision precision) {
    DeviceMemory memory = device_memory(size_on_device(tensor, precision));
    std::vector<cuda::Bf16> rounded;
    for (const float value : tensor.values()) rounded.push_back(__float2bfloat16(value));
    const void* source = precision == Precision::bf16 ? static_cast<const void*>(rounded.data()) : tensor.data();
    cuda::check_cuda(cudaMemcpy(memory.get(), source, size_on_device(tensor, precision), cudaMemcpyHostToDevice),
                     "cudaMemcpy");
    return memory;
}

Tensor from_device(const DeviceMemory& memory, const Shape& shape, Precision precision) {
    Tensor tensor = Tensor::empty(shape);
    float* values = tensor.mutable_data();
    std::vector<cuda::Bf16> rounded(static_cast<std::size_t>(tensor.numel()));
    void* target = precision == Precision::bf16 ? static_cast<void*>(rounded.data()) : values;
    cuda::check_cuda(cudaMemcpy(target, memory.get(), size_on_device(tensor, precision), cudaMemcpyDeviceToHost),
                     "cudaMemcpy");
    if (precision == Precision::bf16) std::transform(rounded.begin(), rounded.end(), values, __bfloat162float);
    return tensor;
}

// One convolution small enough for exact sums.
struct Problem {
    Conv2d op{.stride = 1, .pad = 1};
    Tensor x = small_numbers({2, 16, 8, 8}, 1), w = small_numbers({16, 16, 3, 3}, 2), y = small_numbers(x.shape(), 3);
    Tensor bias = small_numbers({16}, 4), added = small_numbers(x.shape(), 5), mask = small_numbers(x.shape(), 6);

    Tensor on_cpu(ConvolutionKind kind) const {
        Backend& cpu = backend(Device::cpu);
        switch (kind) {
            case ConvolutionKind::forward:
                return cpu.conv2d(x, w, op);
            case ConvolutionKind::forward_bias:
                return cpu.conv2d_fused(x, w, bias, Tensor(), false, op);
            case ConvolutionKind::forward_bias_relu:
                return cpu.conv2d_fused(x, w, bias, Tensor(), true, op);
            case ConvolutionKind::forward_bias_residual:
                return cpu.conv2d_fused(x, w, bias, added, false, op);
            case ConvolutionKind::forward_bias_residual_relu:
                return cpu.conv2d_fused(x, w, bias, added, true, op);
            case ConvolutionKind::grad_x:
                return cpu.conv2d_grad_x(y, w, x.shape(), op);
            case ConvolutionKind::grad_x_relu_mask:
                return cpu.relu_mask_add(cpu.conv2d_grad_x(y, w, x.shape(), op), Tensor(), mask);
            case ConvolutionKind::grad_x_skip_relu_mask:
                return cpu.relu_mask_add(cpu.conv2d_grad_x(y, w, x.shape(), op), added, mask);
            case ConvolutionKind::grad_w:
                return cpu.conv2d_grad_w(y, x, w.shape(), op);
        }
        return Tensor();
    }

    Tensor by_cudnn(cuda::ConvolutionPlans& plans, const ConvolutionKey& key) const {
        const Precision p = key.precision;
        const Shape& result = key.kind == ConvolutionKind::grad_w ? w.shape() : x.shape();
        const DeviceMemory dx = to_device(x, p), dw = to_device(w, p), dy = to_device(y, p), db = to_device(bias, p),
                           da = to_device(added, p), dm = to_device(mask, p);
        DeviceMemory out = to_device(Tensor::full(result, 1000.0f), p);
        const DeviceMemory workspace = device_memory(plans.workspace_bytes(key) + 1);
        const cuda::Stream stream = cuda::make_stream();
        plans.execute(key, {dx.get(), dw.get(), dy.get(), db.get(), da.get(), dm.get(), out.get()}, workspace.get(),
                      stream.get());
        cuda::check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
        return from_device(out, result, p);
    }
};

TEST(ConvolutionPlans, ComputeWhatTheCpuDoes) {
    if (!gpu_here()) {
        ASSERT_EQ(std::getenv("LETHE_REQUIRE_GPU"), nullptr) << "no GPU";
        GTEST_SKIP() << "no GPU";
    }
    const TemporaryFolder folder;
    const std::string file = folder.path("plans.json");
    cuda::ConvolutionPlans first, tuned({.tuned_plans = 3, .tuning_file = file});
    const Problem problem;
    for (const ConvolutionKind kind : cuda::all_convolution_kinds())
        for (const Precision precision : {Precision::strict, Precision::tf32, Precision::bf16}) {
            const ConvolutionKey key =
                cuda::convolution_key(kind, problem.x.shape(), problem.w.shape(), problem.op, precision);
            if (masked(key) && precision == Precision::strict) continue;
            ASSERT_TRUE(first.supported(key)) << first.problem(key);
            const Tensor reference = problem.on_cpu(kind);
            for (cuda::ConvolutionPlans* plans : {&first, &tuned})
                EXPECT_TRUE(close(problem.by_cudnn(*plans, key), reference, reduction, 16 * 9)) << describe(key);
        }
    EXPECT_GT(tuned.timed(), tuned.built());
    cuda::ConvolutionPlans remembering({.tuned_plans = 3, .tuning_file = file});
    EXPECT_TRUE(remembering.supported(cuda::convolution_key(ConvolutionKind::forward, problem.x.shape(),
                                                            problem.w.shape(), problem.op, Precision::strict)));
    EXPECT_EQ(remembering.timed(), 0u);
}

}  // namespace
}  // namespace lethe::test
