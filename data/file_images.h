// Images that have a file each.
#pragma once

#include <filesystem>
#include <vector>

#include "data/image_loader.h"

namespace lethe {

class FileImages : public ImageSource {
public:
    explicit FileImages(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}
    int64_t size() const override { return static_cast<int64_t>(files_.size()); }
    ImageBytes read(int64_t index) const override { return read_image(file(index)); }
    std::string name(int64_t index) const override { return file(index).string(); }
    std::string sha256(int64_t index) const override;

private:
    const std::filesystem::path& file(int64_t index) const { return files_.at(static_cast<std::size_t>(index)); }

    std::vector<std::filesystem::path> files_;
};

}  // namespace lethe
