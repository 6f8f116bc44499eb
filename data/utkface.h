// UTKFace (Zhang, Song and Qi, "Age progression/regression by conditional adversarial autoencoder", CVPR 2017): faces
// whose file names begin with the age, "61_1_20170109150557335.jpg".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace lethe {

// Ages as classes: class i holds bounds[i] <= age < bounds[i + 1], and the last one every age from its bound on.
struct AgeGrouping {
    std::string name;
    std::vector<int64_t> bounds;
};
// The five of the reference implementation (csm9493/L2UL, utils.py), which ends the last class at 120 and crashes on
// older faces.
const std::vector<AgeGrouping>& age_groupings();

int64_t age_class(const AgeGrouping& grouping, int64_t age);  // age >= 0
// The digits before the first '_' of a file's name; -1 when there are none, or no '_'.
int64_t age_of(const std::string& file_name);

}  // namespace lethe
