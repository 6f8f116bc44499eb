// Per-channel constants laid out for the flat loops of cpu/simd.h.
#pragma once

#include <cstdint>
#include <numeric>

#include "cpu/chunks.h"

namespace lethe {

// The shortest multiple of the channel count that is a multiple of 16 floats, doubled until it fills four vectors.
inline int64_t period_of(int64_t channels) {
    int64_t period = std::lcm(channels, int64_t{16});
    while (period < 64) period *= 2;
    return period;
}

// Elements per chunk of a channels-last array: a whole number of periods.
inline int64_t channel_chunk(int64_t period) { return std::max<int64_t>(1, elements_per_chunk / period) * period; }

// value(c) for c = 0..channels-1, repeated over one period.
class Pattern {
public:
    template <class Value>
    Pattern(int64_t channels, int64_t period, Value&& value) : data_(period) {
        for (int64_t c = 0; c < channels; ++c) data_[c] = value(c);
        for (int64_t j = channels; j < period; ++j) data_[j] = data_[j - channels];
    }
    const float* data() const { return data_.data(); }

private:
    Scratch<float> data_;
};

}  // namespace lethe
