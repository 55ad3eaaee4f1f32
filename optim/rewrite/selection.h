// What the environment variable FOVEA_PASSES asks for.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

/// A reading of "-cse,-attention", "only:fold,dce", "time", "print:cse", "until:7" and combinations of them.
struct PassSelection {
  std::set<std::string> skipped, only, printed;
  bool time = false;
  int64_t until = -1;  ///< only the first so many changes; -1: all

  bool runs(const std::string& pass) const {
    return !skipped.count(pass) && (only.empty() || only.count(pass) > 0);
  }
  /// InvalidArgument, naming what there is, where an item or a pass is unknown.
  static PassSelection parse(std::string_view text, const std::set<std::string>& passes);
};

}  // namespace fovea
