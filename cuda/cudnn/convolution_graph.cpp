#include "cuda/cudnn/convolution_graph.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <vector>

#include "cuda/cudnn/library.h"
#include "tensor/error.h"

namespace lethe::cuda {
namespace {

namespace fe = cudnn_frontend;
using TensorHandle = std::shared_ptr<fe::graph::Tensor_attributes>;

constexpr std::uintptr_t alignment = 16;  // bytes; what the tensors' descriptors promise

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0; }

enum class Operand : int64_t { x = 1, w, grad_y, bias, added, mask, out };  // cuDNN's "uid"s

const void* address(const ConvolutionOperands& operands, Operand operand) {
    switch (operand) {
        case Operand::x:
            return operands.x;
        case Operand::w:
            return operands.w;
        case Operand::grad_y:
            return operands.grad_y;
        case Operand::bias:
            return operands.bias;
        case Operand::added:
            return operands.added;
        case Operand::mask:
            return operands.mask;
        case Operand::out:
            return operands.out;
    }
    return nullptr;
}

void require(fe::error_t status, const ConvolutionKey& key) {
    if (status.is_bad()) fail("cuDNN: ", describe(key), ": ", status.get_message());
}

// Dimensions are named in NCHW order whatever the strides; these strides say channels-last.
std::vector<int64_t> channels_last(const std::vector<int64_t>& d) { return {d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]}; }

class Builder {
public:
    Builder(const ConvolutionKey& key, fe::graph::Graph& graph) : key_(key), graph_(graph) {
        graph.set_io_data_type(key.precision == Precision::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::FLOAT)
            .set_intermediate_data_type(fe::DataType_t::FLOAT)
            .set_compute_data_type(fe::DataType_t::FLOAT);
    }

    // Describes the computation; returns the operands it reads and writes, in ascending order. The residual is added
    // before the bias: cuDNN's precompiled kernels match that order only.
    std::vector<Operand> build() {
        switch (key_.kind) {
            case ConvolutionKind::forward:
                return finish(forward());
            case ConvolutionKind::forward_bias:
                return finish(bias(forward()));
            case ConvolutionKind::forward_bias_relu:
                return finish(relu(bias(forward())));
            case ConvolutionKind::forward_bias_residual:
                return finish(bias(add(forward(), y_dims())));
            case ConvolutionKind::forward_bias_residual_relu:
                return finish(relu(bias(add(forward(), y_dims()))));
            case ConvolutionKind::grad_x:
                return finish(grad_x());
            case ConvolutionKind::grad_x_relu_mask:
                return finish(relu_mask(grad_x()));
            case ConvolutionKind::grad_x_skip_relu_mask:
                return finish(relu_mask(add(grad_x(), x_dims())));
            case ConvolutionKind::grad_w:
                return finish(grad_w());
        }
        fail("convolution: unknown kind");
    }

private:
    std::vector<int64_t> x_dims() const { return {key_.images, key_.channels, key_.height, key_.width}; }
    std::vector<int64_t> w_dims() const { return {key_.filters, key_.channels / key_.groups, key_.rows, key_.columns}; }
    std::vector<int64_t> y_dims() const { return {key_.images, key_.filters, key_.out_height(), key_.out_width()}; }

    TensorHandle input(Operand operand, const std::vector<int64_t>& dims) {
        operands_.push_back(operand);
        return graph_.tensor(fe::graph::Tensor_attributes()
                                 .set_uid(static_cast<int64_t>(operand))
                                 .set_dim(dims)
                                 .set_stride(channels_last(dims)));
    }

    template <class Attributes>
    Attributes geometry() const {
        return Attributes()
            .set_padding({key_.pad, key_.pad})
            .set_stride({key_.stride, key_.stride})
            .set_dilation({1, 1});
    }

    TensorHandle forward() {
        const TensorHandle x = input(Operand::x, x_dims()), w = input(Operand::w, w_dims());
        return shaped(graph_.conv_fprop(x, w, geometry<fe::graph::Conv_fprop_attributes>()), y_dims());
    }

    TensorHandle grad_x() {
        const TensorHandle w = input(Operand::w, w_dims()), grad_y = input(Operand::grad_y, y_dims());
        return shaped(graph_.conv_dgrad(grad_y, w, geometry<fe::graph::Conv_dgrad_attributes>()), x_dims());
    }

    TensorHandle grad_w() {
        const TensorHandle x = input(Operand::x, x_dims()), grad_y = input(Operand::grad_y, y_dims());
        return shaped(graph_.conv_wgrad(grad_y, x, geometry<fe::graph::Conv_wgrad_attributes>()), w_dims());
    }

    TensorHandle bias(const TensorHandle& y) {
        return pointwise(fe::PointwiseMode_t::ADD, y, input(Operand::bias, {1, key_.filters, 1, 1}), y_dims());
    }

    TensorHandle add(const TensorHandle& value, const std::vector<int64_t>& dims) {
        return pointwise(fe::PointwiseMode_t::ADD, value, input(Operand::added, dims), dims);
    }

    TensorHandle relu_mask(const TensorHandle& grad) {
        return pointwise(fe::PointwiseMode_t::RELU_BWD, grad, input(Operand::mask, x_dims()), x_dims());
    }

    TensorHandle relu(const TensorHandle& y) {
        const auto op = fe::graph::Pointwise_attributes().set_mode(fe::PointwiseMode_t::RELU_FWD);
        return shaped(graph_.pointwise(y, op), y_dims());
    }

    TensorHandle pointwise(fe::PointwiseMode_t mode, const TensorHandle& a, const TensorHandle& b,
                           const std::vector<int64_t>& dims) {
        return shaped(graph_.pointwise(a, b, fe::graph::Pointwise_attributes().set_mode(mode)), dims);
    }

    static TensorHandle shaped(TensorHandle tensor, const std::vector<int64_t>& dims) {
        tensor->set_dim(dims).set_stride(channels_last(dims));
        return tensor;
    }

    std::vector<Operand> finish(const TensorHandle& result) {
        result->set_output(true).set_uid(static_cast<int64_t>(Operand::out));
        operands_.push_back(Operand::out);
        std::sort(operands_.begin(), operands_.end());  // as execute_plan_at_index() wants the addresses
        return std::move(operands_);
    }

    const ConvolutionKey& key_;
    fe::graph::Graph& graph_;
    std::vector<Operand> operands_;
};

// The plan list answers for one plan what fe::graph::Graph answers for all of them only.
class PlanGraph : public fe::graph::Graph {
public:
    fe::graph::Execution_plan_list& list() { return plans; }
};

std::vector<fe::NumericalNote_t> refused_notes(const ConvolutionKey& key) {
    std::vector<fe::NumericalNote_t> notes = {fe::NumericalNote_t::DOWN_CONVERT_INPUTS,
                                              fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
    if (key.precision == Precision::strict) notes.push_back(fe::NumericalNote_t::TENSOR_CORE);
    if (key.deterministic) notes.push_back(fe::NumericalNote_t::NONDETERMINISTIC);
    return notes;
}

// No precompiled kernel applies a relu's mask to a gradient: cuDNN compiles one.
bool masked(const ConvolutionKey& key) {
    return key.kind == ConvolutionKind::grad_x_relu_mask || key.kind == ConvolutionKind::grad_x_skip_relu_mask;
}

// Without the generic fallback of a masked gradient, callers run grad_x and an elementwise kernel, both precompiled.
std::vector<fe::HeurMode_t> heuristics(const ConvolutionKey& key) {
    if (masked(key)) return {fe::HeurMode_t::A};
    return {fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK};
}

std::shared_ptr<fe::DeviceProperties> properties_from(const ConvolutionKey& key, const std::string& json) {
    std::vector<uint8_t> text(json.begin(), json.end());
    text.push_back(0);  // cuDNN reads up to a terminator
    auto properties = std::make_shared<fe::DeviceProperties>();
    require(properties->deserialize(text), key);
    return properties;
}

}  // namespace

struct ConvolutionGraph::State {
    State(const ConvolutionKey& from, cudnnHandle_t handle, const std::shared_ptr<fe::DeviceProperties>& properties,
          std::size_t workspace_limit)
        : key(from), operands(Builder(key, graph).build()) {
        if (properties != nullptr) graph.set_device_properties(properties);
        // Plans live as long as the backend, so recorded CUDA graphs need not keep them alive.
        graph.set_cuda_graph_retention(fe::CudaGraphRetention_t::NONE);
        require(graph.validate(), key);
        require(graph.build_operation_graph(handle), key);
        require(graph.create_execution_plans(heuristics(key)), key);
        graph.deselect_numeric_notes(refused_notes(key));
        graph.deselect_workspace_greater_than(static_cast<int64_t>(workspace_limit));
    }

    // Remembers why not.
    bool accept(fe::error_t status) {
        refusal = status.get_message();
        return status.is_good();
    }

    ConvolutionKey key;
    PlanGraph graph;
    std::vector<Operand> operands;
    std::string refusal;
};

cudnnStatus_t destroy_cudnn_handle(cudnnHandle_t handle) { return fe::detail::destroy_handle(handle); }

CudnnHandle make_cudnn_handle() {
    check(cudnn_problem().empty(), cudnn_problem());
    CudnnHandle handle;
    const cudnnStatus_t status = fe::detail::create_handle(handle.address());
    check(status == CUDNN_STATUS_SUCCESS, "cuDNN: cannot create a handle: ", fe::detail::get_error_string(status));
    return handle;
}

std::string device_properties_json() {
    int device = 0;
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    fe::DeviceProperties properties;
    std::vector<uint8_t> text;
    fe::error_t status = properties.set_device_id(device).build();
    if (status.is_good()) status = properties.serialize(text);
    check(status.is_good(), "cuDNN: cannot read the device's properties: ", status.get_message());
    return std::string(text.begin(), std::find(text.begin(), text.end(), 0));
}

bool aligned_for_cudnn(const ConvolutionOperands& operands) {
    const std::array all = {operands.x,
                            operands.w,
                            operands.grad_y,
                            operands.bias,
                            operands.added,
                            operands.mask,
                            static_cast<const void*>(operands.out)};
    return std::all_of(all.begin(), all.end(), aligned);
}

ConvolutionGraph::ConvolutionGraph(const ConvolutionKey& key, cudnnHandle_t handle, std::size_t workspace_limit)
    : state_(std::make_unique<State>(key, handle, nullptr, workspace_limit)) {}

ConvolutionGraph::ConvolutionGraph(const ConvolutionKey& key, const std::string& device_json,
                                   std::size_t workspace_limit) {
    check(cudnn_problem().empty(), cudnn_problem());
    state_ = std::make_unique<State>(key, nullptr, properties_from(key, device_json), workspace_limit);
}

ConvolutionGraph::~ConvolutionGraph() = default;
ConvolutionGraph::ConvolutionGraph(ConvolutionGraph&&) noexcept = default;
ConvolutionGraph& ConvolutionGraph::operator=(ConvolutionGraph&&) noexcept = default;

int64_t ConvolutionGraph::proposals() const { return state_->graph.get_execution_plan_count(); }

std::string ConvolutionGraph::plan_name(int64_t plan) const {
    std::string name;
    require(state_->graph.get_plan_name_at_index(plan, name), state_->key);
    return name;
}

bool ConvolutionGraph::compiled_at_run_time(int64_t plan) const {
    std::vector<fe::BehaviorNote_t> notes;
    require(state_->graph.get_behavior_notes_for_plan_at_index(plan, notes), state_->key);
    return std::find(notes.begin(), notes.end(), fe::BehaviorNote_t::RUNTIME_COMPILATION) != notes.end();
}

bool ConvolutionGraph::supports(int64_t plan) {
    return state_->accept(state_->graph.list().check_support_at_index(plan));
}

bool ConvolutionGraph::build(int64_t plan) { return state_->accept(state_->graph.build_plan_at_index(plan)); }

const std::string& ConvolutionGraph::refusal() const { return state_->refusal; }

std::size_t ConvolutionGraph::workspace_bytes(int64_t plan) const {
    int64_t bytes = 0;
    require(state_->graph.get_workspace_size_plan_at_index(plan, bytes), state_->key);
    return static_cast<std::size_t>(bytes);
}

void ConvolutionGraph::execute(int64_t plan, cudnnHandle_t handle, cudaStream_t stream,
                               const ConvolutionOperands& operands, void* workspace) const {
    std::array<void*, 7> addresses{};
    int count = 0;
    for (const Operand operand : state_->operands) {
        const void* pointer = address(operands, operand);
        if (pointer == nullptr || !aligned(pointer))
            fail("cuDNN: ", describe(state_->key), ": an operand is at ", pointer, ", expected a multiple of ",
                 alignment);
        addresses[static_cast<std::size_t>(count++)] = const_cast<void*>(pointer);
    }
    const cudnnStatus_t status = fe::detail::set_stream(handle, stream);
    check(status == CUDNN_STATUS_SUCCESS, "cuDNN: cannot set the stream: ", fe::detail::get_error_string(status));
    require(state_->graph.execute_plan_at_index(handle, addresses.data(), count, workspace, plan), state_->key);
}

}  // namespace lethe::cuda
