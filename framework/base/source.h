// Where in the user's code something was made.
#pragma once

namespace fovea {

/// A file and a line. `Source::here()` as a default argument, or in a converting constructor, names the
/// caller.
struct Source {
  const char* file = "";
  int line = 0;

  static constexpr Source here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace fovea
