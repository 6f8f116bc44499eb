#include "nn/features.h"

#include "autograd/ops.h"
#include "tensor/error.h"

namespace lethe {
namespace {

Tensor mean_over_image(const Var& x) {
    const Tensor& values = x.value();
    if (values.rank() == 2) return values.cpu().clone();
    return global_avg_pool(values.rank() == 3 ? Var(values.rows_as_pixels()) : x).value().cpu();
}

// Of the images of one chunk.
Features features_of_chunk(Model& twin, const Tensor& images) {
    Features part;
    const Listener listener([&](const Module& module, const Var& input, const Var& output) {
        part.blocks.push_back(twin.net().name_of(module));
        part.values.push_back(mean_over_image(output));
        part.penultimate = mean_over_image(input);  // of the last that runs
    });
    twin.forward(images, BatchNormMode::running);
    return part;
}

}  // namespace

Features features(Model& twin, const Tensor& images) {
    const int64_t n = images.dim(0);
    check(n >= 1, "features: there are no images");
    std::vector<Features> parts(static_cast<std::size_t>(n));  // by their first image
    infer_in_chunks(twin, images, [&](int64_t begin, const Tensor& chunk) {
        parts[static_cast<std::size_t>(begin)] = features_of_chunk(twin, chunk);
    });
    Features all;
    all.blocks = parts.front().blocks;
    check(!all.blocks.empty(), "model ", twin.spec().arch, ": it runs no module that can be heard (nn/module.h)");
    const auto joined = [&](const auto& tensor_of) {
        Tensor whole = Tensor::empty({n, tensor_of(parts.front()).dim(1)});
        for (int64_t i = 0; i < n; ++i) {
            const Features& part = parts[static_cast<std::size_t>(i)];
            if (!part.penultimate.defined()) continue;
            const Tensor& rows = tensor_of(part);
            whole.rows(i, i + rows.dim(0)).copy_from(rows);
        }
        return whole;
    };
    for (std::size_t block = 0; block < all.blocks.size(); ++block)
        all.values.push_back(joined([block](const Features& part) -> const Tensor& { return part.values[block]; }));
    all.penultimate = joined([](const Features& part) -> const Tensor& { return part.penultimate; });
    return all;
}

}  // namespace lethe
