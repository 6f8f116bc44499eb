// Golden pictures: files and what PIL and torchvision make of them (tests/golden/make_images.py).
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/image_file.h"
#include "tests/support/golden.h"

namespace lethe::test {

// The path of a file of tests/golden/images.
std::string picture(const std::string& name);

// tests/golden/images.safetensors.
const Golden& golden_images();

// Size and every byte; says how many differ and by how much. expected [height, width, 3].
testing::AssertionResult same_pixels(const ImageBytes& actual, const Tensor& expected);

std::vector<uint8_t> bytes_of(std::string_view text);

}  // namespace lethe::test
