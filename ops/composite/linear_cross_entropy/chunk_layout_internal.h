// How linear_cross_entropy's CPU kernel cuts its work, by the shapes alone, and where things lie in its
// workspace.
#pragma once

#include <cstdint>

namespace fovea {

struct ChunkProblem {
  int64_t rows = 0, features = 0, classes = 0, bytes = 4;  ///< bytes of an element
  bool gradients = false, bias = false, smoothing = false, each_row = false;
  bool rows_packed = false, columns_packed = false;  ///< the weight's, since they are not contiguous
};

struct ChunkLayout {
  /// Classes of a tile, which with its rows of the weight stays in the second cache; and how many tiles are
  /// multiplied into the gradients at once.
  static constexpr int64_t kTileClasses = 96, kTilesAtOnce = 2, kClassesAtOnce = kTileClasses * kTilesAtOnce;

  explicit ChunkLayout(const ChunkProblem& problem);

  int64_t rows = 0, chunks = 0;      ///< rows of a chunk (the last one may have fewer), chunks
  int64_t panels = 0, tiles = 0;     ///< 64 rows each; 96 classes each
  int64_t feature_panels = 0;        ///< 64 features each
  int64_t class_groups, row_groups;  ///< each pair of groups is one task
  bool streams = false;              ///< tiles go past the caches, which could not hold them

  // Bytes into the workspace.
  int64_t x_columns = 0, x_panels = 0;          ///< [panel, feature, row], [feature panel, row, feature]
  int64_t logits = 0, tile = 0;                 ///< [task, class, row]; exponentials [panel, class, row]
  int64_t max = 0, sum = 0, gaps = 0;           ///< of a tile's columns [panel, tile, row]
  int64_t largest = 0, total = 0, losses = 0;   ///< [row]
  int64_t label_logit = 0, label_gradient = 0;  ///< [row]
  int64_t scale = 0, shift = 0;                 ///< [row]
  int64_t weight = 0;                           ///< [task, class or feature, ...]
  int64_t x_gradient = 0;                       ///< [class group, panel, feature, row]
  int64_t weight_parts = 0, bias_parts = 0;     ///< of all groups of rows but the first
  int64_t workspace = 0;

 private:
  void cut(const ChunkProblem& p);
  void lay_out(const ChunkProblem& p);
};

inline int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

}  // namespace fovea
