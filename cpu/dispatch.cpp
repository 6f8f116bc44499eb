#include <cstdlib>
#include <string>

#include "cpu/simd.h"
#include "tensor/error.h"

namespace lethe::simd {
namespace {

bool runs(const std::string& isa) {
    if (isa == "avx512") {  // x86-64-v4
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
    if (isa == "avx2") {  // x86-64-v3
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    }
    return true;
}

std::string chosen() {
    const char* wanted = std::getenv("LETHE_ISA");
    if (wanted == nullptr || *wanted == '\0') return runs("avx512") ? "avx512" : runs("avx2") ? "avx2" : "baseline";
    const std::string isa = wanted;
    check(isa == "avx512" || isa == "avx2" || isa == "baseline", "LETHE_ISA=", isa,
          " is not an instruction set; avx512, avx2 and baseline are");
    check(runs(isa), "LETHE_ISA=", isa, ": this processor does not have it");
    return isa;
}

}  // namespace

const Kernels& kernels() {
    const std::string isa = chosen();
    if (isa == "avx512") {
        static const Kernels table = avx512::make_table();
        return table;
    }
    if (isa == "avx2") {
        static const Kernels table = avx2::make_table();
        return table;
    }
    static const Kernels table = baseline::make_table();
    return table;
}

}  // namespace lethe::simd
