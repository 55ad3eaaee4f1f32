// Matrix products with a right-hand side that was laid out in panels beforehand, on the calling thread.
#pragma once

#include <cstdint>

namespace fovea::simd {

/// Columns of a panel of constant weights. A matrix [k, n] in panels is [ceil(n / 48), k, 48], the last panel
/// filled up with zeros.
inline constexpr int64_t kPanelColumns = 48;

/// C [rows, columns] = A [rows, depth] times one panel, or the same added to C. T is float or double.
template <class T>
struct PanelProduct {
  int64_t rows = 0, columns = kPanelColumns, depth = 0;
  const T* a = nullptr;  ///< rows of contiguous elements
  int64_t a_row = 0;
  /// Where rows of A lie in pieces: so many elements, then those a_jump behind them. 0: in one piece.
  int64_t a_piece = 0, a_jump = 0;
  const T* panel = nullptr;           ///< [depth, panel_row]
  int64_t panel_row = kPanelColumns;  ///< a multiple of 16, at least `columns`: all that stands there is read
  T* c = nullptr;
  int64_t c_row = 0;
  bool add = false;
  /// What will be wanted next and is fetched from memory meanwhile.
  struct Ahead {
    const T* at = nullptr;
    int64_t size = 0;
  };
  Ahead next, next_too;
};

/// Each element is summed in order of the depth, whatever the rows beside it.
void panel_product(const PanelProduct<float>& p);
void panel_product(const PanelProduct<double>& p);

}  // namespace fovea::simd
