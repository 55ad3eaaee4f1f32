// Checks of option values, with short messages.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>

namespace fovea::tools {

// A number above 0, or of at least 0 where `zero` is allowed.
inline CLI::Validator number_from_zero(bool zero) {
  return CLI::Validator(
      [zero](const std::string& text) -> std::string {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && std::isfinite(value) &&
            (value > 0 || (zero && value == 0)))
          return "";
        return fmt::format("'{}' is no number {} 0", text, zero ? "of at least" : "above");
      },
      "");
}
inline CLI::Validator positive() { return number_from_zero(false); }
inline CLI::Validator not_negative() { return number_from_zero(true); }

}  // namespace fovea::tools
