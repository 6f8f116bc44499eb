#include "data/image_list.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <system_error>

#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 32;  // a link to a folder above it would otherwise never end

struct Listing {
    std::vector<std::string> folders, files;
};

Listing list(const fs::path& folder) {
    Listing listing;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        std::error_code unreadable;
        if (name.front() == '.') continue;
        (it->is_directory(unreadable) ? listing.folders : listing.files).push_back(name);
    }
    check(!error, folder.string(), ": the folder cannot be listed (", error.message(), ")");
    std::sort(listing.folders.begin(), listing.folders.end());
    std::sort(listing.files.begin(), listing.files.end());
    return listing;
}

struct FoundFolder {
    fs::path path;
    std::vector<std::string> files;
};

void walk(const fs::path& folder, int depth, std::vector<FoundFolder>& found) {
    check(depth <= deepest, folder.string(), ": folders are nested more than ", deepest,
          " deep; a symbolic link may lead back to a folder above it");
    Listing listing = list(folder);
    std::erase_if(listing.files, [](const std::string& file) { return !has_image_extension(file); });
    found.push_back({folder, std::move(listing.files)});
    for (const std::string& name : listing.folders) walk(folder / name, depth + 1, found);
}

}  // namespace

bool has_image_extension(const fs::path& file) {
    constexpr std::array<std::string_view, 9> known{".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                                    ".pgm", ".tif",  ".tiff", ".webp"};
    std::string extension = file.extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return std::find(known.begin(), known.end(), extension) != known.end();
}

std::vector<std::string> sorted_folders(const fs::path& folder) { return list(folder).folders; }

std::vector<fs::path> sorted_images(const fs::path& folder) {
    std::vector<FoundFolder> found;
    walk(folder, 0, found);
    // By the whole path as text, where "a-b" comes before "a/b", as Python sorts what os.walk() yields.
    std::sort(found.begin(), found.end(),
              [](const FoundFolder& a, const FoundFolder& b) { return a.path.string() < b.path.string(); });
    std::vector<fs::path> images;
    for (const FoundFolder& each : found)
        for (const std::string& file : each.files) images.push_back(each.path / file);
    return images;
}

}  // namespace lethe
