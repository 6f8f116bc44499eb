// libcudnn, opened at run time: a program built with cuDNN also starts where there is none.
#pragma once

#include <cudnn.h>

#include <string>

namespace lethe::cuda {

// Opens cuDNN the first time: what the loader finds as libcudnn.so.9 (LD_LIBRARY_PATH, ldconfig), else the file that
// this build was configured with. Empty when it is there, else one sentence that says what is missing.
const std::string& cudnn_problem();

std::string cudnn_version();  // "9.19.0" of the library that was opened; throws Error with cudnn_problem()

}  // namespace lethe::cuda
