// A complete forget task for the tiny network, and options that solve it in a few steps.
#pragma once

#include "tests/support/tiny.h"
#include "unlearn/importance.h"
#include "unlearn/inversion.h"
#include "unlearn/metrics.h"
#include "unlearn/pgd.h"
#include "unlearn/unlearn.h"

namespace lethe::test {

// Twenty images of D_r; as many as two and a half batches of tiny_options().
inline const Dataset& tiny_retained() {
    static const Dataset data = [] {
        Dataset images;
        images.height = images.width = tiny_side;
        images.class_names = {"a", "b", "c", "d", "e"};
        const Random random(9, Purpose::synthetic);
        for (int64_t i = 0; i < 20; ++i) {
            images.labels.push_back(3 * i % tiny_classes);
            for (uint32_t j = 0; j < 3 * tiny_side * tiny_side; ++j)
                images.pixels.push_back(static_cast<uint8_t>(random.below(256, static_cast<uint64_t>(i), j)));
        }
        return images;
    }();
    return data;
}

// Four images, which the model knows; three adversarial images each; twenty inverted ones; their importance; D_r.
inline ForgetTask tiny_task(Model& model) {
    ForgetTask task;
    task.images = tiny_images(4);
    task.labels = predictions(model, task.images);
    for (const int64_t label : task.labels) task.relabels.push_back((label + 1) % tiny_classes);
    task.adversarial_labels = draw_targets(task.labels, 3, tiny_classes, false, 1);
    Tensor repeated = Tensor::empty({12, 3, tiny_side, tiny_side});
    for (int64_t repeat = 0; repeat < 3; ++repeat) repeated.rows(4 * repeat, 4 * repeat + 4).copy_from(task.images);
    PgdOptions options;
    options.steps = 10;
    task.adversarial = pgd(*fold_batchnorm(model), repeated, task.adversarial_labels, options).images;
    task.inverted = invert(model, task.images, {.images = 20, .steps = 3}).images;
    task.penalty = penalty_weights(mas_importance(model, task.images, {}));
    task.retained = {&tiny_retained(), all_indices(tiny_retained())};
    return task;
}

// Batches that do not divide their sets: 3 of 4 images, 8 of 12 adversarial rows, 8 of 20 of D_r.
inline UnlearnOptions tiny_options() {
    UnlearnOptions options;
    options.optimizer.lr = 0.01f;
    options.forget_batch = 3;
    options.adversarial_batch = 8;
    options.stop.max_steps = 200;
    options.stop.views = 1;  // of random pixels, copies say nothing
    options.distill.settle = 5;
    options.compare.fixed_steps = 12;
    options.compare.retain_batch = 8;
    options.compare.scrub_rounds = 2;
    options.compare.scrub_min_steps = 2;
    return options;
}

}  // namespace lethe::test
