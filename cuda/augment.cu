#include "cuda/augment.cuh"
#include "cuda/backend.h"
#include "cuda/map.h"

namespace LETHE_CUDA {

void CudaBackend::crop_flip_impl(Tensor& images, std::span<const CropFlip> placements) {
    if (images.numel() == 0) return;
    const Tensor source = images.clone();
    const int64_t channels = images.dim(1), height = images.dim(2), width = images.dim(3);
    const int64_t size = height * width * channels;
    const float* from = in<float>(source);
    float* to = out<float>(images);
    for (std::size_t done = 0; done < placements.size(); done += Placements::most) {
        const std::span<const CropFlip> part =
            placements.subspan(done, std::min<std::size_t>(Placements::most, placements.size() - done));
        Placements argument{};
        std::copy(part.begin(), part.end(), argument.of);
        const dim3 grid(blocks_for(size).x, static_cast<unsigned>(part.size()));
        const int64_t offset = static_cast<int64_t>(done) * size;
        launch<crop_flip_kernel>(grid, block_threads, 0, stream_.get(), from + offset, to + offset, height, width,
                                 channels, argument);
    }
}

}  // namespace LETHE_CUDA
