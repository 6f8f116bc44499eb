// Re-emergence: is a forgotten image given its old label again when it is looked at a little differently?
//
//     R_v  = (images x draws of view v that are given the old label) / (images x draws)
//     R    = mean of R_v over the views that change a pixel
//
// An image can be pushed just across the decision boundary, at its very pixels, with everything around it still
// recognised: an accuracy of 0 on D_f then says little. Low is good for forgetting. There is no chance level of 0: a
// model that has never seen the images recognises about its test accuracy of them; and labels guessed at random give
// 1/C. Transformations are those of common practice in augmentation and of common corruptions (Hendrycks and
// Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nn/model.h"
#include "unlearn/metrics.h"

namespace lethe {

struct ViewOptions {
    int64_t draws = 8;        // of each view that draws random numbers; 1 to 256
    int64_t shift = 3;        // pixels, at most
    float crop = 0.875f;      // side of the cropped window, as a share of the image's
    float noise = 0.03f;      // standard deviation, pixels in [0,1]
    float brightness = 0.1f;  // added and taken away
    uint64_t seed = 0;        // Purpose::view

    void validate() const;  // throws Error naming the option and its range
};

struct View {
    std::string name;
    std::string summary;
    bool random = false;  // has `draws` draws; else one
};
// flip, shift-zero, shift-reflect, crop, noise, brighter, darker, jpeg75, jpeg50, round8, weak.
const std::vector<View>& views();

// Draw `draw` of a view of images [N,3,H,W] with pixels in [0,1]; the result has the same shape and range. items[i]
// addresses the random numbers of image i (its index in the dataset): what an image looks like depends on nothing else.
//   flip                       mirrored left to right
//   shift-zero, shift-reflect  moved by (dx, dy) != (0, 0), each up to `shift` pixels either way; what comes in is 0,
//   or
//                              the image reflected at its edge pixels
//   crop                       a window of `crop` of the side, placed at random, resized back (bilinear, pixel centres)
//   noise                      + N(0, noise^2) for each value, clamped
//   brighter, darker           +- `brightness`, clamped
//   jpeg75, jpeg50             rounded to bytes, saved as JPEG of that quality, read again
//   round8                     rounded to bytes: changes adversarial images only, those of a dataset are bytes already
//   weak                       flip (1 in 2), shift-zero by up to `shift` (no shift included), noise
// Throws Error for an unknown view, naming the known ones, for images with a side of `shift` pixels or less, and unless
// there is an item for each image.
Tensor view_of(const std::string& view, const Tensor& images, std::span<const uint64_t> items, int64_t draw,
               const ViewOptions& options);

struct ViewShare {
    std::string view;
    Accuracy old_label;    // images x draws that are given the old label
    bool changes = false;  // some pixel is not that of the image; else the view is left out of every mean
};

struct Reemergence {
    Accuracy unchanged;             // the images as they are
    std::vector<ViewShare> views;   // in the order of views()
    double mean = 0;                // R in [0,1]; NaN when no view changes anything
    std::vector<double> per_image;  // the mean over views of an image's share of draws; their mean is R
};

// Through a folded twin, on its device. Labels are the old ones. Bit-identical for a seed, whatever the threads.
// Throws Error as view_of() does, and unless there is at least one image and a label in [0,C) and an item for each.
Reemergence reemergence(Model& twin, const Tensor& images, std::span<const int64_t> labels,
                        std::span<const uint64_t> items, const ViewOptions& options = {});

// R of the images at these `indices` of their dataset, with the default suite, in per cent: what stands beside D_f in
// every table of results. NaN for images that are too small for the suite (a side of 3 pixels or less).
double usual_reemergence(Model& twin, const Tensor& images, std::span<const int64_t> labels,
                         std::span<const int64_t> indices);

}  // namespace lethe
