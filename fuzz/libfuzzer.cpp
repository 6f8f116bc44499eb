// The entry point that libFuzzer calls, for the target named LETHE_FUZZ_TARGET.
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    static const lethe::fuzz::Target& target = lethe::fuzz::target(LETHE_FUZZ_TARGET);
    lethe::fuzz::accepts(target, {data, size});
    return 0;
}
