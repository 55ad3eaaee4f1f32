// Matrix products with a right-hand side that was laid out in panels beforehand, on the calling thread.
#pragma once

#include <cstdint>

namespace fovea::simd {

/// Columns of a panel. A matrix [k, n] in panels is [ceil(n / 48), k, 48], the last panel filled up with
/// zeros.
inline constexpr int64_t kPanelColumns = 48;

/// C [rows, columns] = A [rows, depth] times one panel, or the same added to C.
struct PanelProduct {
  int64_t rows = 0, columns = kPanelColumns, depth = 0;
  const float* a = nullptr;  ///< rows of contiguous elements
  int64_t a_row = 0;
  const float* panel = nullptr;  ///< [depth, 48]
  float* c = nullptr;
  int64_t c_row = 0;
  bool add = false;
  const float* next = nullptr;  ///< what will be read next, `depth` rows of a panel; null for nothing
};

/// Each element is summed in order of the depth, whatever the rows beside it.
void panel_product(const PanelProduct& p);

}  // namespace fovea::simd
