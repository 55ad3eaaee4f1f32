// A chunk of rows at a time. Its logits are made in tiles of classes by rows, transposed: the lanes of a tile
// are rows of x. A tile becomes exp(logit - max of the tile) while it is in the cache; when all tiles of the
// chunk are there, each is scaled to the gradient of its logits and multiplied into both gradients on one
// visit.
//
//   first visit              join                      second visit
//   W tile * x^T  -> exp     max, sum of each row      scale, * x -> weight gradient (added up over chunks)
//                            -> loss, scale            W^T *      -> x gradient (added up over classes)
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "framework/backend/kernel.h"
#include "framework/base/checked.h"
#include "ops/shared/blocks.h"
#include "ops/shared/indexing.h"
#include "ops/shared/simd/copy.h"
#include "ops/shared/simd/panel_product.h"
#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/softmax_columns.h"

namespace fovea {
namespace {

using simd::kTileColumns;

enum Operand { kX, kWeight, kLabels, kBias };
enum Result { kLoss, kLse, kGradX, kGradWeight, kGradBias };

// With fewer rows in a chunk the weight's gradient, which every chunk adds to, is read and written too often.
constexpr int64_t kChunkBytes = 8 << 20, kLeastRows = 512;
// Classes of a tile, which with its rows of the weight stays in the second cache; and how many tiles are
// multiplied into the gradients at once.
constexpr int64_t kTileClasses = 96, kTilesAtOnce = 2, kClassesAtOnce = kTileClasses * kTilesAtOnce;
// A chunk is cut into at most so many tasks, each of at least so many operations (about 40 microseconds).
constexpr int64_t kMostTasks = 8;
constexpr double kTaskFlops = 8e6;
// Tiles that the caches cannot hold until the second visit go past them.
constexpr int64_t kStreamedBytes = 16 << 20;

int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

int64_t chunk_rows(int64_t rows, int64_t classes, int64_t bytes) {
  const int64_t fit = std::max(kLeastRows, kChunkBytes / std::max<int64_t>(1, classes * bytes));
  const int64_t chunks = std::max<int64_t>(1, pieces(rows, fit));
  return std::max<int64_t>(1, std::min(rows, round_up(pieces(rows, chunks), kTileColumns)));
}

[[noreturn]] void label_error(int64_t label, int64_t position, int64_t classes) {
  invalid("cross_entropy: label " + std::to_string(label) + " at position " + std::to_string(position) +
          " is out of range for " + std::to_string(classes) + " classes");
}

template <class T>
class LinearCrossEntropy final : public PreparedKernel {
 public:
  explicit LinearCrossEntropy(const KernelRequest& r)
      : rows_(r.out[kLse].size()),
        features_(r.in[kWeight].shape[1]),
        classes_(r.in[kWeight].shape[0]),
        class_stride_(r.in[kWeight].strides[0]),
        feature_stride_(r.in[kWeight].strides[1]),
        bias_(r.in.size() > kBias),
        gradients_(r.out.size() > kGradX),
        each_row_(r.attrs.text("reduction") == "none"),
        mean_(r.attrs.text("reduction") == "mean"),
        label_dtype_(r.in[kLabels].dtype),
        ignore_index_(r.attrs.integer("ignore_index")),
        smoothing_(r.attrs.number("smoothing")),
        add_(simd::find_binary("add", r.in[kX].dtype)) {
    // One class or one feature: its stride says nothing.
    if (features_ <= 1) feature_stride_ = 1;
    if (classes_ <= 1) class_stride_ = features_;
    cut();
    lay_out();
  }

  int64_t workspace_bytes() const override { return workspace_; }
  void launch(const KernelArgs& args) const override;

 private:
  // One launch, and in it one chunk.
  struct Run {
    const KernelArgs& args;
    double divisor;
    int64_t chunk = 0, first = 0, rows = 0, panels = 0;
  };

  void cut() {
    chunk_ = chunk_rows(rows_, classes_, sizeof(T));
    chunks_ = pieces(rows_, chunk_);
    panels_ = pieces(chunk_, kTileColumns);
    tiles_ = pieces(classes_, kTileClasses);
    feature_panels_ = pieces(features_, kTileColumns);
    const double flops =
        6.0 * static_cast<double>(chunk_) * static_cast<double>(classes_) * static_cast<double>(features_);
    const auto wanted = static_cast<int64_t>(std::clamp(flops / kTaskFlops, 1.0, double{kMostTasks}));
    class_groups_ = std::min(wanted, pieces(tiles_, kTilesAtOnce));
    row_groups_ = std::min(wanted / class_groups_, panels_);
  }

  void lay_out() {
    const int64_t columns = panels_ * kTileColumns, tasks = class_groups_ * row_groups_;
    auto take = [this](int64_t count, int64_t each = sizeof(T)) {
      const int64_t at = workspace_;
      workspace_ = checked_add(workspace_, round_up(checked_mul(count, each), 64), "a workspace");
      return at;
    };
    auto take_for_gradients = [&](int64_t a, int64_t b) { return take(gradients_ ? checked_mul(a, b) : 0); };
    x_columns_at_ = take(checked_mul(columns, features_));
    max_at_ = take(checked_mul(columns, tiles_));
    sum_at_ = take(checked_mul(columns, tiles_));
    gaps_at_ = take(smoothing_ != 0 ? checked_mul(columns, tiles_) : 0);
    largest_at_ = take(columns);
    label_logit_at_ = take(columns);
    scale_at_ = take(columns);
    shift_at_ = take(columns);
    label_gradient_at_ = take(columns);
    total_at_ = take(columns, sizeof(double));
    losses_at_ = take(each_row_ ? 0 : rows_);
    tile_at_ = take(checked_mul(tasks, kTileClasses * kTileColumns));
    weight_at_ = take(checked_mul(tasks, checked_mul(gradients_ ? kClassesAtOnce : kTileClasses, features_)));
    tiles_at_ = take_for_gradients(columns, classes_);
    x_panels_at_ = take_for_gradients(columns * kTileColumns, feature_panels_);
    x_gradient_at_ = take_for_gradients(checked_mul(columns, features_), class_groups_);
    weight_parts_at_ = take_for_gradients(checked_mul(classes_, features_), row_groups_ - 1);
    bias_parts_at_ = take_for_gradients(bias_ ? classes_ : 0, row_groups_ - 1);
  }

  template <class U = T>
  U* at(const Run& run, int64_t offset) const {
    return reinterpret_cast<U*>(static_cast<char*>(run.args.workspace) + offset);
  }
  int64_t label(const Run& run, int64_t row) const {
    return index_at(label_dtype_, run.args.in[kLabels], run.first + row);
  }
  int64_t rows_of(const Run& run, int64_t panel) const {
    return std::min(kTileColumns, run.rows - panel * kTileColumns);
  }
  int64_t columns_of(const Run& run, int64_t panel) const { return round_up(rows_of(run, panel), 16); }
  // [panel, class, row of x]
  T* tile(const Run& run, int64_t panel, int64_t first_class) const {
    return at(run, tiles_at_) + (panel * classes_ + first_class) * kTileColumns;
  }
  // [panel, tile, row of x]
  T* statistic(const Run& run, int64_t offset, int64_t panel, int64_t tile) const {
    return at(run, offset) + (panel * tiles_ + tile) * kTileColumns;
  }
  bool streams() const {
    return panels_ * kTileColumns * classes_ * static_cast<int64_t>(sizeof(T)) > kStreamedBytes;
  }

  // Part i of n of the weight's rows that come next, where they lie in one piece.
  typename simd::PanelProduct<T>::Ahead ahead(const Run& run, int64_t first, int64_t count, int64_t i,
                                              int64_t n) const {
    count = std::min(count, classes_ - first);
    if (count <= 0 || feature_stride_ != 1 || class_stride_ != features_) return {};
    const int64_t size = count * features_, begin = size * i / n;
    return {run.args.template input<T>(kWeight) + first * features_ + begin, size * (i + 1) / n - begin};
  }

  double count_rows(const KernelArgs& args) const;
  void pack_x(const Run& run, int64_t panel) const;
  void first_visit(const Run& run, int64_t task) const;
  const T* weight_rows(const Run& run, int64_t task, int64_t first, int64_t count, int64_t& stride) const;
  const T* weight_columns(const Run& run, int64_t task, int64_t first, int64_t count, int64_t& stride) const;
  void join(const Run& run, int64_t panel) const;
  void second_visit(const Run& run, int64_t task) const;
  void make_gradient(const Run& run, int64_t panel, int64_t first, int64_t count, T* bias_sums) const;
  void weight_gradient(const Run& run, int64_t row_group, int64_t first, int64_t count,
                       int64_t next_count) const;
  void finish_x_gradient(const Run& run, int64_t panel) const;
  void add_parts(const Run& run) const;

  int64_t rows_, features_, classes_, class_stride_, feature_stride_;
  bool bias_, gradients_, each_row_, mean_;
  DType label_dtype_;
  int64_t ignore_index_;
  double smoothing_;
  simd::Binary add_;
  int64_t chunk_ = 0, chunks_ = 0, panels_ = 0, tiles_ = 0, feature_panels_ = 0;
  int64_t class_groups_ = 1, row_groups_ = 1;
  int64_t workspace_ = 0, x_columns_at_ = 0, max_at_ = 0, sum_at_ = 0, gaps_at_ = 0, largest_at_ = 0,
          label_logit_at_ = 0, scale_at_ = 0, shift_at_ = 0, label_gradient_at_ = 0, total_at_ = 0,
          losses_at_ = 0, tile_at_ = 0, weight_at_ = 0, tiles_at_ = 0, x_panels_at_ = 0, x_gradient_at_ = 0,
          weight_parts_at_ = 0, bias_parts_at_ = 0;
};

template <class T>
void LinearCrossEntropy<T>::launch(const KernelArgs& args) const {
  Run run{args, count_rows(args)};
  const int64_t tasks = class_groups_ * row_groups_;
  auto each = [&](int64_t count, auto body) {
    for_blocks(args.pool, Blocks(count, 1), [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i);
    });
  };
  for (run.chunk = 0; run.chunk < chunks_; ++run.chunk) {
    run.first = run.chunk * chunk_;
    run.rows = std::min(chunk_, rows_ - run.first);
    run.panels = pieces(run.rows, kTileColumns);
    each(run.panels, [&](int64_t panel) { pack_x(run, panel); });
    each(tasks, [&](int64_t task) { first_visit(run, task); });
    each(run.panels, [&](int64_t panel) { join(run, panel); });
    if (!gradients_) continue;
    each(tasks, [&](int64_t task) { second_visit(run, task); });
    each(run.panels, [&](int64_t panel) { finish_x_gradient(run, panel); });
  }
  if (gradients_) add_parts(run);
  if (each_row_) return;
  const T* losses = at(run, losses_at_);
  double total = 0;
  for (int64_t i = 0; i < rows_; ++i) total += static_cast<double>(losses[i]);
  *args.output<T>(kLoss) = static_cast<T>(total / run.divisor);
}

// What the sum of the losses is divided by. Labels are checked here, before anything is computed.
template <class T>
double LinearCrossEntropy<T>::count_rows(const KernelArgs& args) const {
  int64_t count = 0;
  for (int64_t i = 0; i < rows_; ++i) {
    const int64_t label = index_at(label_dtype_, args.in[kLabels], i);
    if (label == ignore_index_) continue;
    if (label < 0 || label >= classes_) label_error(label, i, classes_);
    ++count;
  }
  return mean_ ? static_cast<double>(count) : 1;
}

// x as the products want it: its columns for the logits, its rows in panels for the weight's gradient.
template <class T>
void LinearCrossEntropy<T>::pack_x(const Run& run, int64_t panel) const {
  const int64_t rows = rows_of(run, panel), first = panel * kTileColumns;
  const T* x = run.args.template input<T>(kX) + (run.first + first) * features_;
  T* columns = at(run, x_columns_at_) + first * features_;
  if (rows < kTileColumns) std::fill_n(columns, features_ * kTileColumns, T(0));
  const int64_t dims[] = {features_, rows}, from[] = {1, features_}, to[] = {kTileColumns, 1};
  simd::StridedCopy(2, dims, from, to, sizeof(T)).run(x, columns);
  if (!gradients_) return;
  for (int64_t f = 0; f < feature_panels_; ++f) {
    T* packed = at(run, x_panels_at_) + (f * panels_ * kTileColumns + first) * kTileColumns;
    const int64_t count = std::min(kTileColumns, features_ - f * kTileColumns);
    for (int64_t r = 0; r < rows; ++r, packed += kTileColumns) {
      std::copy_n(x + r * features_ + f * kTileColumns, count, packed);
      std::fill(packed + count, packed + kTileColumns, T(0));
    }
  }
}

// Rows [first, first + count) of the weight, each contiguous.
template <class T>
const T* LinearCrossEntropy<T>::weight_rows(const Run& run, int64_t task, int64_t first, int64_t count,
                                            int64_t& stride) const {
  const T* weight = run.args.template input<T>(kWeight) + first * class_stride_;
  stride = class_stride_;
  if (feature_stride_ == 1) return weight;
  T* packed = at(run, weight_at_) + task * (gradients_ ? kClassesAtOnce : kTileClasses) * features_;
  const int64_t dims[] = {count, features_}, from[] = {class_stride_, feature_stride_}, to[] = {features_, 1};
  simd::StridedCopy(2, dims, from, to, sizeof(T)).run(weight, packed);
  stride = features_;
  return packed;
}

// The same rows transposed.
template <class T>
const T* LinearCrossEntropy<T>::weight_columns(const Run& run, int64_t task, int64_t first, int64_t count,
                                               int64_t& stride) const {
  const T* weight = run.args.template input<T>(kWeight) + first * class_stride_;
  stride = feature_stride_;
  if (class_stride_ == 1) return weight;
  T* packed = at(run, weight_at_) + task * kClassesAtOnce * features_;
  const int64_t dims[] = {features_, count}, from[] = {feature_stride_, class_stride_}, to[] = {count, 1};
  simd::StridedCopy(2, dims, from, to, sizeof(T)).run(weight, packed);
  stride = count;
  return packed;
}

template <class T>
void LinearCrossEntropy<T>::first_visit(const Run& run, int64_t task) const {
  const int64_t class_group = task % class_groups_, row_group = task / class_groups_;
  const int64_t first_panel = run.panels * row_group / row_groups_;
  const int64_t end_panel = run.panels * (row_group + 1) / row_groups_;
  simd::PanelProduct<T> p;
  p.depth = features_;
  p.panel_row = p.c_row = kTileColumns;
  p.c = at(run, tile_at_) + task * kTileClasses * kTileColumns;
  const int64_t end_tile = tiles_ * (class_group + 1) / class_groups_;
  for (int64_t t = tiles_ * class_group / class_groups_; t < end_tile; ++t) {
    const int64_t first = t * kTileClasses;
    p.rows = std::min(kTileClasses, classes_ - first);
    p.a = weight_rows(run, task, first, p.rows, p.a_row);
    for (int64_t panel = first_panel; panel < end_panel; ++panel) {
      p.columns = columns_of(run, panel);
      p.panel = at(run, x_columns_at_) + panel * kTileColumns * features_;
      p.next = ahead(run, first + p.rows, t + 1 < end_tile ? kTileClasses : 0, panel - first_panel,
                     end_panel - first_panel);
      simd::panel_product(p);
      simd::ExpColumns<T> e;
      e.rows = p.rows, e.columns = p.columns;
      e.x = p.c;
      e.bias = bias_ ? run.args.template input<T>(kBias) + first : nullptr;
      e.e = gradients_ ? tile(run, panel, first) : p.c;
      e.stream = gradients_ && streams();
      e.max = statistic(run, max_at_, panel, t);
      e.sum = statistic(run, sum_at_, panel, t);
      e.gaps = smoothing_ != 0 ? statistic(run, gaps_at_, panel, t) : nullptr;
      for (int64_t r = 0; r < rows_of(run, panel); ++r) {
        const int64_t row = panel * kTileColumns + r, c = label(run, row) - first;
        if (c >= 0 && c < p.rows)
          at(run, label_logit_at_)[row] = p.c[c * kTileColumns + r] + (e.bias ? e.bias[c] : T(0));
      }
      simd::exp_columns(e);
    }
  }
}

// Loss and log-sum-exp of a panel's rows, and what turns their exponentials into gradients.
template <class T>
void LinearCrossEntropy<T>::join(const Run& run, int64_t panel) const {
  const int64_t first = panel * kTileColumns;
  simd::JoinColumns<T> j;
  j.tiles = tiles_, j.columns = columns_of(run, panel);
  j.largest = at(run, largest_at_) + first;
  j.total = at<double>(run, total_at_) + first;
  j.max = statistic(run, max_at_, panel, 0);
  j.sum = statistic(run, sum_at_, panel, 0);
  T* losses = (each_row_ ? run.args.template output<T>(kLoss) : at(run, losses_at_)) + run.first + first;
  T* lse = run.args.template output<T>(kLse) + run.first + first;
  double gaps[kTileColumns] = {};
  for (int64_t t = 0; smoothing_ != 0 && t < tiles_; ++t) {
    const double count = static_cast<double>(std::min(kTileClasses, classes_ - t * kTileClasses));
    for (int64_t r = 0; r < kTileColumns; ++r)  // the tile's maximum for now
      gaps[r] +=
          static_cast<double>(statistic(run, gaps_at_, panel, t)[r]) - count * j.max[t * kTileColumns + r];
  }
  simd::join_columns(j);
  const double share = smoothing_ / static_cast<double>(classes_), weight = 1 / run.divisor;
  for (int64_t r = 0; r < kTileColumns; ++r) {
    const int64_t row = first + r;
    T &scale = at(run, scale_at_)[row], &shift = at(run, shift_at_)[row];
    scale = shift = 0;
    if (r >= rows_of(run, panel)) continue;
    const double largest = j.largest[r], log_sum = std::log(j.total[r]);
    lse[r] = static_cast<T>(largest + log_sum);
    losses[r] = 0;
    if (label(run, row) == ignore_index_) continue;
    const double gap = largest - static_cast<double>(at(run, label_logit_at_)[row]);
    double loss = gap + log_sum;
    if (smoothing_ != 0) {
      const double all = gaps[r] / static_cast<double>(classes_) + largest + log_sum;
      loss = (1 - smoothing_) * loss + smoothing_ * all;
    }
    losses[r] = static_cast<T>(loss);
    scale = static_cast<T>(weight / j.total[r]);
    shift = static_cast<T>(weight * share);
    at(run, label_gradient_at_)[row] =
        static_cast<T>(weight * (std::exp(-gap) / j.total[r] - (1 - smoothing_) - share));
  }
}

// The exponentials of classes [first, first + count) become the gradient of their logits.
template <class T>
void LinearCrossEntropy<T>::make_gradient(const Run& run, int64_t panel, int64_t first, int64_t count,
                                          T* bias_sums) const {
  const int64_t first_row = panel * kTileColumns;
  T* g = tile(run, panel, first);
  simd::ScaleColumns<T> s;
  s.columns = columns_of(run, panel);
  s.scale = at(run, scale_at_) + first_row;
  s.shift = at(run, shift_at_) + first_row;
  for (int64_t c = 0; c < count; c += kTileClasses) {
    s.rows = std::min(kTileClasses, count - c);
    s.e = g + c * kTileColumns;
    s.factor = statistic(run, max_at_, panel, (first + c) / kTileClasses);
    simd::scale_columns(s);
  }
  for (int64_t r = 0; r < rows_of(run, panel); ++r) {
    const int64_t of_class = label(run, first_row + r);
    if (of_class >= first && of_class < first + count && of_class != ignore_index_)
      g[(of_class - first) * kTileColumns + r] = at(run, label_gradient_at_)[first_row + r];
  }
  if (bias_) simd::add_row_sums(g, count, s.columns, bias_sums + first);
}

template <class T>
void LinearCrossEntropy<T>::second_visit(const Run& run, int64_t task) const {
  const int64_t class_group = task % class_groups_, row_group = task / class_groups_;
  const int64_t first_panel = run.panels * row_group / row_groups_;
  const int64_t end_panel = run.panels * (row_group + 1) / row_groups_;
  if (first_panel == end_panel) return;
  T* bias_sums = row_group == 0 ? (bias_ ? run.args.template output<T>(kGradBias) : nullptr)
                                : at(run, bias_parts_at_) + (row_group - 1) * classes_;
  simd::PanelProduct<T> p;
  p.rows = features_;
  p.panel_row = p.c_row = kTileColumns;
  const int64_t begin = tiles_ * class_group / class_groups_ * kTileClasses;
  const int64_t end = std::min(classes_, tiles_ * (class_group + 1) / class_groups_ * kTileClasses);
  if (bias_ && run.chunk == 0) std::fill(bias_sums + begin, bias_sums + end, T(0));
  for (int64_t first = begin; first < end; first += kClassesAtOnce) {
    p.depth = std::min(kClassesAtOnce, end - first);
    p.a = weight_columns(run, task, first, p.depth, p.a_row);
    p.add = first > begin;
    for (int64_t panel = first_panel; panel < end_panel; ++panel) {
      make_gradient(run, panel, first, p.depth, bias_sums);
      p.columns = columns_of(run, panel);
      p.panel = tile(run, panel, first);
      const T* dw = run.args.template output<T>(kGradWeight) + first * features_;
      const int64_t size = p.depth * features_, i = panel - first_panel, n = end_panel - first_panel;
      p.next_too = {dw + size * i / n, run.chunk > 0 ? size * (i + 1) / n - size * i / n : 0};
      p.next = {};
      if (panel + 1 < end_panel) p.next = {tile(run, panel + 1, first), p.depth * kTileColumns};
      p.c = at(run, x_gradient_at_) + (class_group * panels_ + panel) * kTileColumns * features_;
      simd::panel_product(p);
    }
    weight_gradient(run, row_group, first, p.depth, std::min(kClassesAtOnce, end - first - p.depth));
  }
}

template <class T>
void LinearCrossEntropy<T>::weight_gradient(const Run& run, int64_t row_group, int64_t first, int64_t count,
                                            int64_t next_count) const {
  const int64_t first_panel = run.panels * row_group / row_groups_;
  const int64_t end_panel = run.panels * (row_group + 1) / row_groups_;
  T* to = row_group == 0 ? run.args.template output<T>(kGradWeight)
                         : at(run, weight_parts_at_) + (row_group - 1) * classes_ * features_;
  simd::PanelProduct<T> p;
  p.rows = count;
  p.depth = std::min(end_panel * kTileColumns, run.rows) - first_panel * kTileColumns;
  p.a = tile(run, first_panel, first), p.a_row = kTileColumns;
  p.a_piece = kTileColumns, p.a_jump = (classes_ - 1) * kTileColumns;
  p.panel_row = kTileColumns;
  p.c_row = features_;
  p.add = run.chunk > 0;
  for (int64_t f = 0; f < feature_panels_; ++f) {
    p.columns = std::min(kTileColumns, features_ - f * kTileColumns);
    p.panel = at(run, x_panels_at_) + (f * panels_ + first_panel) * kTileColumns * kTileColumns;
    p.c = to + first * features_ + f * kTileColumns;
    p.next = ahead(run, first + count, next_count, f, feature_panels_);
    p.next_too = {};
    if (f + 1 == feature_panels_ && next_count > 0)
      p.next_too = {tile(run, first_panel, first + count), next_count * kTileColumns};
    simd::panel_product(p);
  }
}

template <class T>
void LinearCrossEntropy<T>::finish_x_gradient(const Run& run, int64_t panel) const {
  const int64_t size = kTileColumns * features_, first = panel * kTileColumns;
  T* sum = at(run, x_gradient_at_) + panel * size;
  for (int64_t g = 1; g < class_groups_; ++g)
    add_(sum, sum + g * panels_ * size, sum, static_cast<size_t>(size), 0);
  T* to = run.args.template output<T>(kGradX) + (run.first + first) * features_;
  const int64_t dims[] = {rows_of(run, panel), features_}, from[] = {1, kTileColumns},
                into[] = {features_, 1};
  simd::StridedCopy(2, dims, from, into, sizeof(T)).run(sum, to);
}

// What the groups of rows have summed apart.
template <class T>
void LinearCrossEntropy<T>::add_parts(const Run& run) const {
  T* weight = run.args.template output<T>(kGradWeight);
  T* bias = bias_ ? run.args.template output<T>(kGradBias) : nullptr;
  if (rows_ == 0) {
    std::fill_n(weight, classes_ * features_, T(0));
    if (bias_) std::fill_n(bias, classes_, T(0));
    return;
  }
  const T *weight_parts = at(run, weight_parts_at_), *bias_parts = at(run, bias_parts_at_);
  for (int64_t g = 0; g + 1 < row_groups_; ++g) {
    add_(weight, weight_parts + g * classes_ * features_, weight, static_cast<size_t>(classes_ * features_),
         0);
    if (bias_) add_(bias, bias_parts + g * classes_, bias, static_cast<size_t>(classes_), 0);
  }
}

}  // namespace

FOVEA_KERNEL(cpu, linear_cross_entropy, chunks) {
  kernel
      .when(
          [](const KernelRequest& r) {
            return (r.in[kX].dtype == DType::f32 || r.in[kX].dtype == DType::f64) &&
                   r.in[kWeight].dtype == r.in[kX].dtype;
          },
          "x and weight are not f32 or f64")
      .strided(0b0010)
      .prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
        if (r.in[kX].dtype == DType::f64) return std::make_unique<LinearCrossEntropy<double>>(r);
        return std::make_unique<LinearCrossEntropy<float>>(r);
      });
}

}  // namespace fovea
