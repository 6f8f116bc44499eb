// The loaders behind load_dataset, one per file; dataset_kinds() in dataset.cpp lists them.
#pragma once

#include "data/dataset.h"

namespace lethe {

Dataset load_cifar10(const std::string& directory, Split split);
Dataset load_folder(const std::string& directory, Split split);
Dataset load_synthetic(const std::string& argument, Split split);

}  // namespace lethe
