// File names of the user's code that were read from a file or text.
#pragma once

#include <string_view>

namespace fovea {

/// `name` as a C string that lives as long as the process, one for each distinct name: Source::file of nodes
/// that were not traced here. A name over 4096 bytes is cut. The table holds at most 64 MiB; past that the
/// result is "".
const char* intern_source_name(std::string_view name);

}  // namespace fovea
