// Which of the two builds of the GPU sources this is: real (nvcc, lethe::cuda) or emulated (g++, lethe::emulated).
#pragma once

#ifdef LETHE_EMULATED
#define LETHE_CUDA lethe::emulated
#include "cuda/emulation/device.h"
#include "cuda/emulation/runtime.h"
#else
#define LETHE_CUDA lethe::cuda
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif

namespace LETHE_CUDA {
using Bf16 = __nv_bfloat16;
}
