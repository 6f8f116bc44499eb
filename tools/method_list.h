// What there is to say about the unlearning methods.
#pragma once

#include <string>

#include "unlearn/method.h"
#include "unlearn/run_directory.h"

namespace lethe::tools {

// For people, some lines; for programs.
std::string text_of(const Method& method);
Json to_json(const Method& method);

}  // namespace lethe::tools
