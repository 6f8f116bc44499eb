// A complete forget task for the tiny network, and options that solve it in a few steps.
#pragma once

#include "tests/support/tiny.h"
#include "unlearn/importance.h"
#include "unlearn/pgd.h"
#include "unlearn/unlearn.h"

namespace lethe::test {

// Four images, which the model knows; three adversarial images each; their importance.
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
    task.penalty = penalty_weights(mas_importance(model, task.images, {}));
    return task;
}

// Batches that do not divide their sets: 3 of 4 images, 8 of 12 adversarial rows.
inline UnlearnOptions tiny_options() {
    UnlearnOptions options;
    options.optimizer.lr = 0.01f;
    options.forget_batch = 3;
    options.adversarial_batch = 8;
    options.stop.max_steps = 200;
    return options;
}

}  // namespace lethe::test
