// tensor/random.h on the GPU: the same counters, the same bits.
#pragma once

#include "cuda/map.cuh"

namespace LETHE_CUDA {

// Philox 4x32-10 (Salmon et al., SC 2011).
__device__ __forceinline__ uint4 philox4x32(uint4 counter, uint2 key) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t product_0 = uint64_t{0xD2511F53} * counter.x, product_1 = uint64_t{0xCD9E8D57} * counter.z;
        counter =
            make_uint4(static_cast<uint32_t>(product_1 >> 32) ^ counter.y ^ key.x, static_cast<uint32_t>(product_1),
                       static_cast<uint32_t>(product_0 >> 32) ^ counter.w ^ key.y, static_cast<uint32_t>(product_0));
        key.x += 0x9E3779B9;
        key.y += 0xBB67AE85;
    }
    return counter;
}

// A Random, as kernels take it.
struct RandomStream {
    uint64_t seed;
    uint32_t purpose;

    __device__ uint4 block(uint64_t item, uint32_t block) const {
        return philox4x32(make_uint4(block, static_cast<uint32_t>(item), static_cast<uint32_t>(item >> 32), purpose),
                          make_uint2(static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)));
    }
};

__device__ __forceinline__ float uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// One thread per block of four numbers; a row's last block may be cut short.
__global__ void fill_uniform_kernel(float* x, int64_t rows, int64_t length, RandomStream random, uint64_t first_item,
                                    float low, float range) {
    const int64_t blocks = (length + 3) / 4;
    for (int64_t i = grid_first(); i < rows * blocks; i += grid_step()) {
        const int64_t row = i / blocks, block = i - row * blocks, left = length - 4 * block;
        const uint4 words = random.block(first_item + static_cast<uint64_t>(row), static_cast<uint32_t>(block));
        const uint32_t bits[4] = {words.x, words.y, words.z, words.w};
        Floats<4> values;
        // The product is exact in double, so fused or not, the sum is rounded alike on every device.
        for (int j = 0; j < 4; ++j)
            values.at[j] = static_cast<float>(static_cast<double>(low) +
                                              static_cast<double>(range) * static_cast<double>(uniform(bits[j])));
        float* to = x + row * length + 4 * block;
        if (left >= 4 && is_aligned16(to))
            write(to, values);
        else
            for (int j = 0; j < 4 && j < left; ++j) to[j] = values.at[j];
    }
}

// See Dropout in tensor/ops.h.
__global__ void dropout_factors_kernel(float* factors, int64_t rows, int64_t length, RandomStream random,
                                       const int64_t* counter, float p) {
    const int64_t blocks = (length + 3) / 4;
    const uint64_t first = static_cast<uint64_t>(*counter) << 24;
    const float kept = 1.0f / (1.0f - p);
    for (int64_t i = grid_first(); i < rows * blocks; i += grid_step()) {
        const int64_t row = i / blocks, block = i - row * blocks, left = length - 4 * block;
        const uint4 words = random.block(first + static_cast<uint64_t>(row), static_cast<uint32_t>(block));
        const uint32_t bits[4] = {words.x, words.y, words.z, words.w};
        for (int j = 0; j < 4 && j < left; ++j)
            factors[row * length + 4 * block + j] = uniform(bits[j]) < p ? 0.0f : kept;
    }
}

}  // namespace LETHE_CUDA
