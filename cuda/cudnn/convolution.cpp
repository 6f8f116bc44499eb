#include "cuda/cudnn/convolution.h"

#include <limits>

#include "cuda/cudnn/library.h"
#include "tensor/error.h"

namespace lethe::cuda {
namespace {

std::string machine_name() {
    int device = 0;
    cudaDeviceProp properties{};
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
    return concat("cuDNN ", cudnn_version(), " on ", properties.name);
}

}  // namespace

ConvolutionPlans::ConvolutionPlans(ConvolutionOptions options)
    : options_(std::move(options)), handle_(make_cudnn_handle()), tuning_(options_.tuning_file, machine_name()) {}

bool ConvolutionPlans::supported(const ConvolutionKey& key) {
    const std::lock_guard lock(mutex_);
    return find(key).graph.has_value();
}

std::string ConvolutionPlans::problem(const ConvolutionKey& key) {
    const std::lock_guard lock(mutex_);
    return find(key).problem;
}

std::size_t ConvolutionPlans::workspace_bytes(const ConvolutionKey& key) {
    const std::lock_guard lock(mutex_);
    const Entry& entry = need(key);
    return entry.graph->workspace_bytes(entry.plan);
}

void ConvolutionPlans::execute(const ConvolutionKey& key, const ConvolutionOperands& operands, void* workspace,
                               cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    const Entry& entry = need(key);
    entry.graph->execute(entry.plan, handle_.get(), stream, operands, workspace);
}

uint64_t ConvolutionPlans::built() const {
    const std::lock_guard lock(mutex_);
    return built_;
}

uint64_t ConvolutionPlans::timed() const {
    const std::lock_guard lock(mutex_);
    return timed_;
}

ConvolutionPlans::Entry& ConvolutionPlans::find(const ConvolutionKey& key) {
    const auto known = entries_.find(key);
    if (known != entries_.end()) return known->second;
    return entries_.emplace(key, make(key)).first->second;
}

ConvolutionPlans::Entry& ConvolutionPlans::need(const ConvolutionKey& key) {
    Entry& entry = find(key);
    check(entry.graph.has_value(), entry.problem);
    return entry;
}

ConvolutionPlans::Entry ConvolutionPlans::make(const ConvolutionKey& key) {
    Entry entry;
    try {
        ConvolutionGraph graph(key, handle_.get(), options_.workspace_limit);
        const std::optional<int64_t> plan = choose(key, graph);
        if (plan.has_value()) {
            entry.graph = std::move(graph);
            entry.plan = *plan;
            ++built_;
        } else {
            entry.problem = concat("cuDNN: ", describe(key), ": no plan: ", graph.refusal());
        }
    } catch (const std::exception& error) {  // the frontend has exceptions of its own
        entry.problem = error.what();
    }
    return entry;
}

std::optional<int64_t> ConvolutionPlans::choose(const ConvolutionKey& key, ConvolutionGraph& graph) {
    const std::optional<std::string> remembered = options_.tuned_plans > 0 ? tuning_.find(key) : std::nullopt;
    if (remembered.has_value())
        for (int64_t plan = 0; plan < graph.proposals(); ++plan)
            if (graph.plan_name(plan) == *remembered && graph.build(plan)) return plan;

    std::optional<int64_t> best;
    double shortest = std::numeric_limits<double>::max();
    int candidates = 0;
    for (int64_t plan = 0; plan < graph.proposals(); ++plan) {
        if (!graph.build(plan)) continue;
        if (options_.tuned_plans <= 0) return plan;
        const double microseconds = time_plan(graph, plan, key, handle_.get());
        ++timed_;
        if (microseconds < shortest) {
            shortest = microseconds;
            best = plan;
        }
        if (++candidates == options_.tuned_plans) break;
    }
    if (best.has_value()) tuning_.store(key, graph.plan_name(*best), shortest);
    return best;
}

const char* name(PlanReport::State state) {
    switch (state) {
        case PlanReport::State::none:
            return "none";
        case PlanReport::State::supported:
            return "supported";
        case PlanReport::State::built:
            return "built";
    }
    fail("plan report: unknown state");
}

PlanReport plan_without_device(const ConvolutionKey& key, const std::string& device_json, std::size_t workspace_limit) {
    check(cudnn_problem().empty(), cudnn_problem());
    PlanReport report;
    try {
        ConvolutionGraph graph(key, device_json, workspace_limit);
        report.proposals = graph.proposals();
        for (int64_t plan = 0; plan < report.proposals; ++plan) {
            if (!graph.supports(plan)) continue;
            report.plan = graph.plan_name(plan);
            report.compiled_at_run_time = graph.compiled_at_run_time(plan);
            report.state = PlanReport::State::supported;
            // Compiling takes half a second and ends where the kernel would be loaded.
            if (!report.compiled_at_run_time && graph.build(plan)) {
                report.state = PlanReport::State::built;
                report.workspace_bytes = graph.workspace_bytes(plan);
            }
            break;
        }
        if (report.state != PlanReport::State::built) report.problem = graph.refusal();
    } catch (const std::exception& error) {
        report.problem = error.what();
    }
    return report;
}

}  // namespace lethe::cuda
