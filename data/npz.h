// NumPy's archives of arrays, as numpy.savez and numpy.savez_compressed write them: a zip with one NAME.npy for each.
// Format: numpy/lib/format.py ("Format Version 1.0" to "3.0").
#pragma once

#include <cstdint>
#include <span>

#include "data/archive.h"
#include "data/weights.h"

namespace lethe {

// True when the archive holds .npy arrays and no pickle of torch.save.
bool is_npz(const Archive& archive);

// The arrays in the archive's order, under their names without ".npy"; in C or Fortran order, little-endian, of the
// types that element.h has. The header is read as the literal it is: nothing is evaluated. Throws Error, which does not
// name the file, for an archive without arrays or with something else in it, a damaged header, Python objects,
// big-endian or unsupported types, and sizes that do not match the shape.
WeightFile parse_npz(std::span<const uint8_t> file);

}  // namespace lethe
