// Finding image files, in an order that does not depend on the machine.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lethe {

// True for the names that torchvision.datasets.ImageFolder takes for images: .jpg .jpeg .png .ppm .bmp .pgm .tif .tiff
// .webp, in any case. What the decoders do not read among them is then refused by name, not passed over.
bool has_image_extension(const std::filesystem::path& file);

// Names of the folders in `folder`, sorted; hidden ones are left out. Throws Error when it cannot be listed.
std::vector<std::string> sorted_folders(const std::filesystem::path& folder);

// All image files below `folder`, through symbolic links too, by folder and then by name as ImageFolder orders them;
// hidden files and folders are left out. Throws Error when a folder cannot be listed.
std::vector<std::filesystem::path> sorted_images(const std::filesystem::path& folder);

}  // namespace lethe
