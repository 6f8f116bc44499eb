#include "cuda/cublas/matmul.h"

#include <dlfcn.h>

#include <source_location>

#include "tensor/error.h"

namespace lethe::cuda {
namespace {

void* library = nullptr;

std::string open_library() {
    for (const char* file : {"libcublasLt.so." LETHE_CUBLAS_MAJOR, LETHE_CUBLAS_LIBRARY}) {
        library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr) return "";
    }
    return "cuBLASLt was not found: neither libcublasLt.so." LETHE_CUBLAS_MAJOR
           " on the loader's path nor " LETHE_CUBLAS_LIBRARY;
}

// The library's function of the same name and type.
template <class F>
F* function(const char* name) {
    void* address = cublas_problem().empty() ? dlsym(library, name) : nullptr;
    check(address != nullptr, "cuBLASLt: the library has no ", name);
    return reinterpret_cast<F*>(address);
}
#define LETHE_CUBLAS(name) function<decltype(::name)>(#name)

void check_cublas(cublasStatus_t status, const char* what,
                  std::source_location where = std::source_location::current()) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    fail("cuBLASLt: ", what, " failed at ", where.file_name(), ":", where.line(), ": ",
         LETHE_CUBLAS(cublasLtGetStatusString)(status));
}

cublasStatus_t destroy_layout(cublasLtMatrixLayout_t layout) {
    return LETHE_CUBLAS(cublasLtMatrixLayoutDestroy)(layout);
}
cublasStatus_t destroy_operation(cublasLtMatmulDesc_t operation) {
    return LETHE_CUBLAS(cublasLtMatmulDescDestroy)(operation);
}
cublasStatus_t destroy_preference(cublasLtMatmulPreference_t preference) {
    return LETHE_CUBLAS(cublasLtMatmulPreferenceDestroy)(preference);
}
using Layout = Handle<cublasLtMatrixLayout_t, destroy_layout>;
using Operation = Handle<cublasLtMatmulDesc_t, destroy_operation>;
using Preference = Handle<cublasLtMatmulPreference_t, destroy_preference>;

constexpr uint32_t alignment = 16;
constexpr uint64_t workspace_limit = uint64_t{32} << 20;

// A row-major matrix [rows, columns], which is column-major [columns, rows] to cuBLASLt.
Layout row_major(int64_t rows, int64_t columns) {
    Layout layout;
    check_cublas(LETHE_CUBLAS(cublasLtMatrixLayoutCreate)(layout.address(), CUDA_R_32F, static_cast<uint64_t>(columns),
                                                          static_cast<uint64_t>(rows), columns),
                 "cublasLtMatrixLayoutCreate");
    return layout;
}

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_cublas(LETHE_CUBLAS(cublasLtMatmulDescSetAttribute)(operation.get(), attribute, &value, sizeof value),
                 "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    check_cublas(LETHE_CUBLAS(cublasLtMatmulPreferenceSetAttribute)(preference.get(), attribute, &value, sizeof value),
                 "cublasLtMatmulPreferenceSetAttribute");
}

bool aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % alignment == 0; }

}  // namespace

const std::string& cublas_problem() {
    static const std::string problem = open_library();
    return problem;
}

// cuBLASLt thinks in columns: C^T = op(B)^T op(A)^T, with B^T for its first factor.
struct Matmul::Plan {
    Operation operation;
    Layout a, b, c;
    cublasLtMatmulAlgo_t algorithm{};
    std::size_t workspace = 0;
    bool found = false;
};

Matmul::Matmul() {
    check(cublas_problem().empty(), cublas_problem());
    check_cublas(LETHE_CUBLAS(cublasLtCreate)(&handle_), "cublasLtCreate");
}

Matmul::~Matmul() {
    plans_.clear();
    static_cast<void>(LETHE_CUBLAS(cublasLtDestroy)(handle_));
}

std::string Matmul::version() {
    const std::size_t version = LETHE_CUBLAS(cublasLtGetVersion)();
    return concat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

Matmul::Plan& Matmul::plan(const MatmulKey& key) {
    const auto [entry, fresh] = plans_.try_emplace(key);
    Plan& plan = entry->second;
    if (!fresh) return plan;
    plan.a = key.transpose_a ? row_major(key.k, key.m) : row_major(key.m, key.k);
    plan.b = key.transpose_b ? row_major(key.n, key.k) : row_major(key.k, key.n);
    plan.c = row_major(key.m, key.n);
    check_cublas(
        LETHE_CUBLAS(cublasLtMatmulDescCreate)(
            plan.operation.address(), key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
    set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (key.bias) set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);

    Preference preference;
    check_cublas(LETHE_CUBLAS(cublasLtMatmulPreferenceCreate)(preference.address()), "cublasLtMatmulPreferenceCreate");
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_limit);
    // Partial sums go to the workspace and are added in order; in place, they would be added as they come.
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        set(preference, attribute, alignment);
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    const cublasStatus_t status =
        LETHE_CUBLAS(cublasLtMatmulAlgoGetHeuristic)(handle_, plan.operation.get(), plan.b.get(), plan.a.get(),
                                                     plan.c.get(), plan.c.get(), preference.get(), 1, &result, &count);
    plan.found = status == CUBLAS_STATUS_SUCCESS && count == 1 && result.state == CUBLAS_STATUS_SUCCESS;
    plan.algorithm = result.algo;
    plan.workspace = result.workspaceSize;
    return plan;
}

bool Matmul::run(const MatmulKey& key, const float* a, const float* b, const float* bias, float* c,
                 CachingAllocator& workspace, cudaStream_t stream) {
    if (key.m == 0 || key.n == 0 || key.k == 0) return false;
    if (!aligned(a) || !aligned(b) || !aligned(c) || !aligned(bias)) return false;
    Plan& plan = this->plan(key);
    if (!plan.found) return false;
    if (key.bias) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    void* scratch = plan.workspace > 0 ? workspace.allocate(plan.workspace) : nullptr;
    const float one = 1.0f, zero = 0.0f;
    const cublasStatus_t status =
        LETHE_CUBLAS(cublasLtMatmul)(handle_, plan.operation.get(), &one, b, plan.b.get(), a, plan.a.get(), &zero, c,
                                     plan.c.get(), c, plan.c.get(), &plan.algorithm, scratch, plan.workspace, stream);
    workspace.release(scratch, plan.workspace);
    check_cublas(status, "cublasLtMatmul");
    return true;
}

}  // namespace lethe::cuda
