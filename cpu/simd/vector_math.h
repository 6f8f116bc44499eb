// Lets the vectoriser call the C library's vector variants of these functions (glibc's libmvec, within 4 units in the
// last place), which GCC otherwise does under -ffast-math only.
#pragma once

#include <math.h>

#if defined(__GLIBC__) && defined(__x86_64__)
extern "C" {
__attribute__((simd("notinbranch"))) float expf(float) noexcept;
__attribute__((simd("notinbranch"))) float tanhf(float) noexcept;
}
#endif
