#include "cpu/conv2d_plan.h"

#include <array>
#include <atomic>

#include "cpu/chunks.h"
#include "cpu/one_omp_thread.h"
#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {
namespace {

using dnnl::algorithm;
using dnnl::memory;

std::atomic<uint64_t> plan_count{0};

const dnnl::engine& engine() {
    static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
    return instance;
}

dnnl::stream& stream() {
    thread_local dnnl::stream instance(engine());
    return instance;
}

struct Descs {
    memory::desc x, w, w_plain, y;
    memory::dims stride, pad;
};

memory::desc activations(int64_t n, int64_t c, int64_t h, int64_t w) {
    return {{n, c, h, w}, memory::data_type::f32, memory::format_tag::nhwc};
}

Descs descs(const ConvKey& key) {
    const Conv2d op{key.stride, key.pad, key.groups};
    const int64_t seen = key.channels / key.groups;  // by one filter
    const memory::dims weights = key.groups == 1
                                     ? memory::dims{key.filters, seen, key.rows, key.columns}
                                     : memory::dims{key.groups, key.filters / key.groups, seen, key.rows, key.columns};
    const Shape y =
        op.output_shape({key.images, key.channels, key.height, key.width}, {key.filters, seen, key.rows, key.columns});
    return {activations(key.images, key.channels, key.height, key.width),
            {weights, memory::data_type::f32, memory::format_tag::any},
            {weights, memory::data_type::f32, key.groups == 1 ? memory::format_tag::ohwi : memory::format_tag::gohwi},
            activations(key.images, key.filters, y[2], y[3]),
            {key.stride, key.stride},
            {key.pad, key.pad}};
}

dnnl::primitive_attr own_scratchpad() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attributes;
}

dnnl::convolution_forward::primitive_desc forward_desc(const Descs& d) {
    return {{dnnl::prop_kind::forward_training, algorithm::convolution_direct, d.x, d.w, d.y, d.stride, d.pad, d.pad},
            own_scratchpad(),
            engine()};
}

void execute(const dnnl::primitive& primitive, const dnnl_exec_arg_t* arguments, int count) {
    // The C entry point: the C++ one builds a map and a vector on the heap at each call.
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive.get(), stream().get(), count, arguments),
                            "could not execute a convolution");
}

void* unconst(const float* data) { return const_cast<float*>(data); }

}  // namespace

uint64_t plans_built() { return plan_count.load(); }

ConvPlan::ConvPlan(const ConvKey& key) {
    const OneOmpThread one;
    try {
        if (key.kind == ConvKind::forward) describe_forward(key);
        if (key.kind == ConvKind::grad_x) describe_grad_x(key);
        if (key.kind == ConvKind::grad_w) describe_grad_w(key);
        const memory::desc &plain = plain_weights_, &packed = packed_weights_;
        pack_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), plain, engine(), packed));
        unpack_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), packed, engine(), plain));
    } catch (const dnnl::error& error) {
        if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
        fail("conv2d: oneDNN has no convolution of ", Shape{key.images, key.channels, key.height, key.width}, " with ",
             Shape{key.filters, key.channels / key.groups, key.rows, key.columns}, ", stride ", key.stride, ", pad ",
             key.pad, " and ", key.groups, " groups (", error.what(), ")");
    }
    plan_count.fetch_add(1);
}

void ConvPlan::describe_forward(const ConvKey& key) {
    const Descs d = descs(key);
    const auto desc = forward_desc(d);
    primitive_ = dnnl::convolution_forward(desc);
    a_ = d.x, b_ = packed_weights_ = desc.weights_desc(), out_ = d.y;
    a_arg_ = DNNL_ARG_SRC, b_arg_ = DNNL_ARG_WEIGHTS, out_arg_ = DNNL_ARG_DST;
    plain_weights_ = d.w_plain, scratch_ = desc.scratchpad_desc();
}

void ConvPlan::describe_grad_x(const ConvKey& key) {
    const Descs d = descs(key);
    const dnnl::convolution_backward_data::primitive_desc desc(
        {algorithm::convolution_direct, d.x, d.w, d.y, d.stride, d.pad, d.pad}, own_scratchpad(), engine(),
        forward_desc(d));
    primitive_ = dnnl::convolution_backward_data(desc);
    a_ = d.y, b_ = packed_weights_ = desc.weights_desc(), out_ = d.x;
    a_arg_ = DNNL_ARG_DIFF_DST, b_arg_ = DNNL_ARG_WEIGHTS, out_arg_ = DNNL_ARG_DIFF_SRC;
    plain_weights_ = d.w_plain, scratch_ = desc.scratchpad_desc();
}

void ConvPlan::describe_grad_w(const ConvKey& key) {
    const Descs d = descs(key);
    const dnnl::convolution_backward_weights::primitive_desc desc(
        {algorithm::convolution_direct, d.x, d.w, d.y, d.stride, d.pad, d.pad}, own_scratchpad(), engine(),
        forward_desc(d));
    primitive_ = dnnl::convolution_backward_weights(desc);
    a_ = d.x, b_ = d.y, out_ = packed_weights_ = desc.diff_weights_desc();
    a_arg_ = DNNL_ARG_SRC, b_arg_ = DNNL_ARG_DIFF_DST, out_arg_ = DNNL_ARG_DIFF_WEIGHTS;
    plain_weights_ = d.w_plain, scratch_ = desc.scratchpad_desc();
}

std::unique_ptr<ConvPlan::Call> ConvPlan::borrow_call() const {
    {
        const std::lock_guard lock(mutex_);
        if (!idle_.empty()) {
            std::unique_ptr<Call> call = std::move(idle_.back());
            idle_.pop_back();
            return call;
        }
    }
    const auto unbound = [](const memory::desc& desc) { return memory(desc, engine(), DNNL_MEMORY_NONE); };
    return std::make_unique<Call>(Call{unbound(a_), unbound(b_), unbound(out_), unbound(scratch_)});
}

void ConvPlan::return_call(std::unique_ptr<Call> call) const {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(call));
}

void ConvPlan::run(const float* a, const float* b, float* out) const {
    const OneOmpThread one;
    const Scratch<char> scratch(static_cast<int64_t>(scratch_.get_size()));
    std::unique_ptr<Call> call = borrow_call();
    call->a.set_data_handle(unconst(a), stream());
    call->b.set_data_handle(unconst(b), stream());
    call->out.set_data_handle(out, stream());
    call->scratch.set_data_handle(scratch.data(), stream());
    const std::array<dnnl_exec_arg_t, 4> arguments{{{a_arg_, call->a.get()},
                                                    {b_arg_, call->b.get()},
                                                    {out_arg_, call->out.get()},
                                                    {DNNL_ARG_SCRATCHPAD, call->scratch.get()}}};
    execute(primitive_, arguments.data(), static_cast<int>(arguments.size()));
    return_call(std::move(call));
}

int64_t ConvPlan::packed_count() const { return static_cast<int64_t>(packed_weights_.get_size() / sizeof(float)); }

void ConvPlan::convert(const dnnl::reorder& how, const memory::desc& from_desc, const float* from,
                       const memory::desc& to_desc, float* to) {
    const OneOmpThread one;
    const memory source(from_desc, engine(), unconst(from)), target(to_desc, engine(), to);
    const std::array<dnnl_exec_arg_t, 2> arguments{{{DNNL_ARG_FROM, source.get()}, {DNNL_ARG_TO, target.get()}}};
    execute(how, arguments.data(), static_cast<int>(arguments.size()));
}

void ConvPlan::pack(const float* weights, float* packed) const {
    convert(pack_, plain_weights_, weights, packed_weights_, packed);
}

void ConvPlan::unpack(const float* packed, float* weights) const {
    convert(unpack_, packed_weights_, packed, plain_weights_, weights);
}

std::size_t ConvPlans::Hash::operator()(const ConvKey& key) const {
    uint64_t hash = static_cast<uint64_t>(key.kind);
    for (const int64_t part : {key.images, key.channels, key.height, key.width, key.filters, key.rows, key.columns,
                               key.stride, key.pad, key.groups})
        hash = (hash ^ static_cast<uint64_t>(part)) * 0x9e3779b97f4a7c15U;  // Fibonacci hashing
    return hash ^ hash >> 32;
}

const ConvPlan& ConvPlans::get(const ConvKey& key) {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<ConvPlan>& plan = plans_[key];
    if (!plan) plan = std::make_unique<ConvPlan>(key);
    return *plan;
}

}  // namespace lethe
