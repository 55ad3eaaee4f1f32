// Types and strides of values, each kept once and named by a number.
#pragma once

#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "framework/backend/kernel.h"

namespace fovea {

/// Lets maps of strings be searched by string_view.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

/// Type, shape and strides of a value, and what follows from them.
struct Layout {
  OperandSpec spec;
  int64_t elements = 0, bytes = 0;
  bool contiguous = false;
};

class Layouts {
 public:
  /// The number of this layout. ResourceExhausted where no machine could address it.
  int32_t find(DType dtype, const Dims& shape, const Dims& strides);
  /// The same with row-major strides.
  int32_t find(DType dtype, const Dims& shape);
  const Layout& operator[](int32_t id) const { return all_[static_cast<size_t>(id)]; }

 private:
  int32_t look_up(DType dtype, const Dims& shape, const Dims* strides);
  std::vector<Layout> all_;
  std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>> by_key_;
  std::string key_;
};

}  // namespace fovea
