// Convolutions as one product of matrices: a row for each output pixel of a chunk of images, holding the input pixels
// under the kernel. For 1x1 kernels with stride 1 the images are that matrix already.
#include "cpu/backend.h"

namespace lethe {
namespace {

// The matrix of patches of all images; its rows are numbered through.
struct Patches {
    simd::ConvImage image;

    int64_t length() const { return image.kernel * image.kernel * image.in_channels; }
    bool plain() const { return image.kernel == 1 && image.stride == 1; }

    // Calls visit(pixel, offset in the row) for each tap of row `row` that lies inside its image, with the pixel's
    // number over all images.
    template <class Visit>
    void taps(int64_t row, Visit&& visit) const {
        const int64_t area = image.out_height * image.out_width, n = row / area;
        const int64_t top = row % area / image.out_width * image.stride - image.kernel / 2;
        const int64_t left = row % image.out_width * image.stride - image.kernel / 2;
        for (int64_t r = 0; r < image.kernel; ++r)
            for (int64_t s = 0; s < image.kernel; ++s)
                if (top + r >= 0 && top + r < image.height && left + s >= 0 && left + s < image.width)
                    visit((n * image.height + top + r) * image.width + left + s,
                          (r * image.kernel + s) * image.in_channels);
    }

    void gather(const float* x, int64_t first, int64_t end, float* rows) const {
        std::fill(rows, rows + (end - first) * length(), 0.0f);
        for (int64_t row = first; row < end; ++row, rows += length())
            taps(row, [&](int64_t pixel, int64_t offset) {
                std::copy_n(x + pixel * image.in_channels, image.in_channels, rows + offset);
            });
    }

    // Adds each row's gradient to the pixels it was gathered from, in the rows' order.
    void scatter(const simd::Kernels& kernels, const float* rows, int64_t first, int64_t end, float* grad_x) const {
        for (int64_t row = first; row < end; ++row, rows += length())
            taps(row, [&](int64_t pixel, int64_t offset) {
                kernels.axpy(1.0f, rows + offset, grad_x + pixel * image.in_channels, image.in_channels);
            });
    }
};

// Calls block(first, end) for the rows of each chunk of images, so many at once that they stay in the L2 cache.
template <class Block>
void for_blocks(int64_t images, const Patches& patches, int64_t row_length, Block&& block) {
    constexpr int64_t cached = 1 << 17, fewest = 48;
    const int64_t area = patches.image.out_height * patches.image.out_width;
    const int64_t size = std::max(fewest, cached / row_length);
    for_chunks(images, images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin * area; row < end * area; row += size) block(row, std::min(end * area, row + size));
    });
}

}  // namespace

void CpuBackend::rows_conv2d(const float* x, const float* packed, float* y, int64_t images, const simd::ConvImage& op) {
    const Patches patches{op};
    for_blocks(images, patches, patches.length(), [&](int64_t first, int64_t end) {
        const Scratch<float> gathered(patches.plain() ? 0 : (end - first) * patches.length());
        if (!patches.plain()) patches.gather(x, first, end, gathered.data());
        const int64_t at = first * op.out_channels;
        kernels_.row_product(patches.plain() ? x + first * op.in_channels : gathered.data(), packed, y + at,
                             {end - first, patches.length(), op.out_channels, patches.length(), op.out_channels,
                              op.bias, op.residual == nullptr ? nullptr : op.residual + at, op.relu});
    });
}

void CpuBackend::rows_grad_x(const float* grad_y, const float* packed, float* grad_x, int64_t images,
                             const simd::ConvImage& op) {
    const Patches patches{op};
    const int64_t size = op.height * op.width * op.in_channels;
    if (!patches.plain())
        for_chunks(images, images_per_chunk,
                   [&](int64_t begin, int64_t end) { std::fill(grad_x + begin * size, grad_x + end * size, 0.0f); });
    for_blocks(images, patches, std::max(patches.length(), op.out_channels), [&](int64_t first, int64_t end) {
        const Scratch<float> rows(patches.plain() ? 0 : (end - first) * patches.length());
        kernels_.row_product(grad_y + first * op.out_channels, packed,
                             patches.plain() ? grad_x + first * op.in_channels : rows.data(),
                             {end - first, op.out_channels, patches.length(), op.out_channels, patches.length(),
                              nullptr, nullptr, false});
        if (!patches.plain()) patches.scatter(kernels_, rows.data(), first, end, grad_x);
    });
}

}  // namespace lethe
