// Where the images of a loader come from: a file each, or a block of pixels.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/image_loader.h"

namespace lethe {

class FileImages : public ImageSource {
public:
    explicit FileImages(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}
    int64_t size() const override { return static_cast<int64_t>(files_.size()); }
    ImageBytes read(int64_t index) const override { return read_image(file(index)); }
    std::string name(int64_t index) const override { return file(index).string(); }
    std::string sha256(int64_t index) const override;  // of the file

private:
    const std::filesystem::path& file(int64_t index) const { return files_.at(static_cast<std::size_t>(index)); }

    std::vector<std::filesystem::path> files_;
};

class PixelImages : public ImageSource {
public:
    PixelImages(std::vector<uint8_t> pixels, int64_t height, int64_t width)
        : pixels_(std::move(pixels)), height_(height), width_(width) {}
    int64_t size() const override { return static_cast<int64_t>(pixels_.size()) / (height_ * width_ * 3); }
    ImageBytes read(int64_t index) const override;
    std::string name(int64_t index) const override { return "image " + std::to_string(index); }
    std::string sha256(int64_t index) const override;  // of the pixels

private:
    std::vector<uint8_t> pixels_;  // [size, height, width, 3]
    int64_t height_, width_;
};

}  // namespace lethe
