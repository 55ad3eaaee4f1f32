#include "ops/composite/linear_cross_entropy/chunk_layout_internal.h"

#include <algorithm>

#include "framework/base/checked.h"
#include "ops/shared/simd/softmax_columns.h"

namespace fovea {
namespace {

using simd::kTileColumns;

// With fewer rows in a chunk the weight's gradient, which every chunk adds to, is read and written too often.
constexpr int64_t kChunkBytes = 8 << 20, kLeastRows = 512;
// A chunk is cut into at most so many tasks, each of at least so many operations (about 40 microseconds).
constexpr int64_t kMostTasks = 8;
constexpr double kTaskFlops = 8e6;
constexpr int64_t kStreamedBytes = 4 << 20;

// For each row there are its logits, two copies of x and a gradient.
int64_t chunk_rows(const ChunkProblem& p) {
  const int64_t row =
      checked_mul(checked_add(p.classes, checked_mul(3, p.features)), p.bytes, "a row of logits");
  const int64_t fit = std::max(kLeastRows, kChunkBytes / row);
  const int64_t chunks = std::max<int64_t>(1, pieces(p.rows, fit));
  return std::max<int64_t>(1, std::min(p.rows, round_up(pieces(p.rows, chunks), kTileColumns)));
}

}  // namespace

ChunkLayout::ChunkLayout(const ChunkProblem& problem) {
  cut(problem);
  lay_out(problem);
}

void ChunkLayout::cut(const ChunkProblem& p) {
  rows = chunk_rows(p);
  chunks = pieces(p.rows, rows);
  panels = pieces(rows, kTileColumns);
  tiles = pieces(p.classes, kTileClasses);
  feature_panels = pieces(p.features, kTileColumns);
  const double flops =
      6.0 * static_cast<double>(rows) * static_cast<double>(p.classes) * static_cast<double>(p.features);
  const auto wanted = static_cast<int64_t>(std::clamp(flops / kTaskFlops, 1.0, double{kMostTasks}));
  class_groups = std::min(wanted, pieces(tiles, kTilesAtOnce));
  row_groups = std::min(wanted / class_groups, panels);
}

void ChunkLayout::lay_out(const ChunkProblem& p) {
  const int64_t columns = panels * kTileColumns, tasks = class_groups * row_groups;
  auto take = [&](int64_t a, int64_t b = 1, int64_t each = 0) {
    const int64_t at = workspace, size = checked_mul(checked_mul(a, b), each == 0 ? p.bytes : each);
    workspace = checked_add(workspace, round_up(size, 64), "a workspace");
    return at;
  };
  x_columns = take(columns, p.features);
  max = take(columns, tiles);
  sum = take(columns, tiles);
  gaps = take(columns, p.smoothing ? tiles : 0);
  largest = take(columns);
  label_logit = take(columns);
  label_gradient = take(columns);
  scale = take(columns);
  shift = take(columns);
  total = take(columns, 1, sizeof(double));
  losses = take(p.each_row ? 0 : p.rows);
  logits = take(tasks, kTileClasses * kTileColumns);
  const int64_t packed = p.columns_packed && p.gradients ? kClassesAtOnce : p.rows_packed ? kTileClasses : 0;
  weight = take(tasks * packed, p.features);
  if (!p.gradients) return;
  const int64_t chunk_bytes = checked_mul(checked_mul(columns, p.classes, "the logits of a chunk"), p.bytes);
  streams = chunk_bytes > kStreamedBytes;
  tile = take(columns, p.classes);
  x_panels = take(columns * kTileColumns, feature_panels);
  x_gradient = take(class_groups * columns, p.features);
  weight_parts = take(row_groups - 1, checked_mul(p.classes, p.features));
  bias_parts = take(row_groups - 1, p.bias ? p.classes : 0);
}

}  // namespace fovea
