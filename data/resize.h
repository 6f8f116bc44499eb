// Resampling of RGB images as PIL does it, to the bit.
#pragma once

#include <cstdint>

#include "data/image_file.h"

namespace lethe {

enum class Interpolation { bilinear, bicubic };

// A rectangle of pixels.
struct Window {
    int64_t top = 0, left = 0, height = 0, width = 0;
};

// The pixels inside `window` of `image` stretched to height x width; only what the window needs is computed.
//
// Separable filters with antialiasing. With s = max(1, old / new) along an axis, output pixel i lies at
// c = (i + 0.5) * old / new, and the pixel x of the input weighs f((x + 0.5 - c) / s), divided by the sum of the
// weights; f is the triangle 1 - |t| (bilinear) or Keys' cubic with a = -0.5 (bicubic; Keys, "Cubic convolution
// interpolation for digital image processing", 1981). As in PIL, the weights are rounded to multiples of 2^-22, rows
// are resampled first and rounded to bytes, then columns; an axis that keeps its length is left alone. Throws Error
// unless height and width are positive, at most 2^26 pixels together, and hold the window.
ImageBytes resize(const ImageBytes& image, int64_t height, int64_t width, Interpolation interpolation,
                  const Window& window);

// All of it.
inline ImageBytes resize(const ImageBytes& image, int64_t height, int64_t width, Interpolation interpolation) {
    return resize(image, height, width, interpolation, {0, 0, height, width});
}

}  // namespace lethe
