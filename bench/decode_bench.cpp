// Times how image files become input of a network, for bench/compare_decode.py: decoding, the transform "imagenet",
// floats, normalisation. A warm process that obeys lines on its standard input.
//
//   run COUNT    makes all images of the folder COUNT times, prints "seconds S" with S the wall time of one pass
//   write FILE   writes them as a safetensors file, entry "images0" [16,3,224,224], "images1" and so on
//   quit
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <numeric>
#include <sstream>

#include "data/image_list.h"
#include "data/image_sources.h"
#include "data/weights.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

constexpr std::size_t batch = 16;

class Folder {
public:
    explicit Folder(const std::string& path)
        : loader_(std::make_shared<ImageLoader>(std::make_unique<FileImages>(sorted_images(path)),
                                                parse_transform("imagenet"), 0)),
          indices_(static_cast<std::size_t>(loader_->source().size())) {
        std::iota(indices_.begin(), indices_.end(), int64_t{0});
    }

    // Calls take(images) with one batch after another. With several threads the next one is decoded meanwhile.
    template <class Take>
    void pass(Take&& take) const {
        PendingImages next = request(0);
        for (std::size_t begin = 0; begin < indices_.size(); begin += batch) {
            const Tensor images = next.get();
            const bool ahead = threads() > 1, more = begin + batch < indices_.size();
            if (more && ahead) next = request(begin + batch);
            take(backend(Device::cpu).normalize(images, mean_, std_));
            if (more && !ahead) next = request(begin + batch);
        }
    }

private:
    PendingImages request(std::size_t begin) const {
        const auto part = std::span(indices_).subspan(begin, std::min(batch, indices_.size() - begin));
        return loader_->request(part, std::nullopt, 1.0f);
    }

    std::shared_ptr<ImageLoader> loader_;
    std::vector<int64_t> indices_;
    const Tensor mean_ = Tensor::from_nchw({3}, std::vector<float>{0.485f, 0.456f, 0.406f}),
                 std_ = Tensor::from_nchw({3}, std::vector<float>{0.229f, 0.224f, 0.225f});
};

double seconds_per_pass(const Folder& folder, int64_t count) {
    check(count >= 1, "run: COUNT must be at least 1, got ", count);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < count; ++i) folder.pass([](const Tensor&) {});
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return elapsed.count() / static_cast<double>(count);
}

void write_images(const Folder& folder, const std::string& file) {
    StateDict batches;
    folder.pass([&](const Tensor& images) { batches.emplace_back(concat("images", batches.size()), images); });
    write_safetensors(file, batches);
}

void obey(const Folder& folder) {
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command, file;
        words >> command;
        if (command == "quit") return;
        if (command == "run") {
            int64_t count = 0;
            words >> count;
            std::cout << "seconds " << seconds_per_pass(folder, count) << std::endl;
        } else {
            check(command == "write" && words >> file, "cannot obey '", line, "'; known: run COUNT, write FILE, quit");
            write_images(folder, file);
            std::cout << "written" << std::endl;
        }
    }
}

}  // namespace
}  // namespace lethe

int main(int argc, char** argv) {
    std::string folder;
    int threads = 1;
    CLI::App app("Times decoding and resizing; see bench/compare_decode.py");
    app.add_option("folder", folder, "Folder of images")->required();
    app.add_option("--threads", threads, "Threads that decode")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        lethe::set_threads(threads);
        lethe::obey(lethe::Folder(folder));
    } catch (const lethe::Error& error) {
        std::cerr << "lethe_decode_bench: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
