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
#include "ops/composite/linear_cross_entropy/chunk_layout_internal.h"
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

constexpr int64_t kTileClasses = ChunkLayout::kTileClasses, kClassesAtOnce = ChunkLayout::kClassesAtOnce;

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
        add_(simd::find_binary("add", r.in[kX].dtype)),
        l_(problem()) {}

  int64_t workspace_bytes() const override { return l_.workspace; }
  void launch(const KernelArgs& args) const override;

 private:
  using Ahead = typename simd::PanelProduct<T>::Ahead;

  // One launch, and in it one chunk.
  struct Run {
    const KernelArgs& args;
    double divisor;
    int64_t chunk = 0, first = 0, rows = 0, panels = 0;
  };

  // What one task works on in both visits: panels of rows and tiles of classes.
  struct Task {
    int64_t index, class_group, row_group, first_panel, end_panel, first_tile, end_tile;
  };

  ChunkProblem problem() {
    // One class or one feature: its stride says nothing.
    if (features_ <= 1) feature_stride_ = 1;
    if (classes_ <= 1) class_stride_ = features_;
    ChunkProblem p{rows_, features_, classes_, sizeof(T)};
    p.gradients = gradients_, p.bias = bias_, p.smoothing = smoothing_ != 0, p.each_row = each_row_;
    p.rows_packed = feature_stride_ != 1, p.columns_packed = class_stride_ != 1;
    return p;
  }

  Task task_of(const Run& run, int64_t index) const {
    const int64_t c = index % l_.class_groups, r = index / l_.class_groups;
    return {index,
            c,
            r,
            run.panels * r / l_.row_groups,
            run.panels * (r + 1) / l_.row_groups,
            l_.tiles * c / l_.class_groups,
            l_.tiles * (c + 1) / l_.class_groups};
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
  T* tile_at(const Run& run, int64_t panel, int64_t first_class) const {
    return at(run, l_.tile) + (panel * classes_ + first_class) * kTileColumns;
  }
  // [panel, tile, row of x]
  T* statistic(const Run& run, int64_t offset, int64_t panel, int64_t tile) const {
    return at(run, offset) + (panel * l_.tiles + tile) * kTileColumns;
  }
  // Part i of n of the weight's rows [first, first + count), where they lie in one piece: what is fetched
  // ahead.
  Ahead part_of_weight(const Run& run, int64_t first, int64_t count, int64_t i, int64_t n) const {
    count = std::min(count, classes_ - first);
    if (count <= 0 || feature_stride_ != 1 || class_stride_ != features_) return {};
    return part(run.args.template input<T>(kWeight) + first * features_, count * features_, i, n);
  }
  static Ahead part(const T* at, int64_t size, int64_t i, int64_t n) {
    return {at + size * i / n, size * (i + 1) / n - size * i / n};
  }

  double count_rows(const KernelArgs& args) const;
  void pack_x(const Run& run, int64_t panel) const;
  void first_visit(const Run& run, const Task& task) const;
  void exponentials(const Run& run, T* logits, int64_t panel, int64_t tile) const;
  const T* weight_rows(const Run& run, const Task& task, int64_t first, int64_t count, int64_t& stride) const;
  const T* weight_columns(const Run& run, const Task& task, int64_t first, int64_t count,
                          int64_t& stride) const;
  void join(const Run& run, int64_t panel) const;
  void second_visit(const Run& run, const Task& task) const;
  void make_gradient(const Run& run, int64_t panel, int64_t first, int64_t count, T* bias_sums) const;
  void add_weight_gradient(const Run& run, const Task& task, int64_t first, int64_t count, int64_t next,
                           T* gradient) const;
  void finish_x_gradient(const Run& run, int64_t panel) const;
  void add_parts(const Run& run) const;

  int64_t rows_, features_, classes_, class_stride_, feature_stride_;
  bool bias_, gradients_, each_row_, mean_;
  DType label_dtype_;
  int64_t ignore_index_;
  double smoothing_;
  simd::Binary add_;
  ChunkLayout l_;
};

template <class T>
void LinearCrossEntropy<T>::launch(const KernelArgs& args) const {
  Run run{args, count_rows(args)};
  const int64_t tasks = l_.class_groups * l_.row_groups;
  auto each = [&](int64_t count, auto body) {
    for_blocks(args.pool, Blocks(count, 1), [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i);
    });
  };
  for (run.chunk = 0; run.chunk < l_.chunks; ++run.chunk) {
    run.first = run.chunk * l_.rows;
    run.rows = std::min(l_.rows, rows_ - run.first);
    run.panels = pieces(run.rows, kTileColumns);
    each(run.panels, [&](int64_t panel) { pack_x(run, panel); });
    each(tasks, [&](int64_t task) { first_visit(run, task_of(run, task)); });
    each(run.panels, [&](int64_t panel) { join(run, panel); });
    if (!gradients_) continue;
    each(tasks, [&](int64_t task) { second_visit(run, task_of(run, task)); });
    each(run.panels, [&](int64_t panel) { finish_x_gradient(run, panel); });
  }
  if (gradients_) add_parts(run);
  if (each_row_) return;
  const T* losses = at(run, l_.losses);
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
  T* columns = at(run, l_.x_columns) + first * features_;
  if (rows < kTileColumns) std::fill_n(columns, features_ * kTileColumns, T(0));
  const int64_t dims[] = {features_, rows}, from[] = {1, features_}, to[] = {kTileColumns, 1};
  simd::StridedCopy(2, dims, from, to, sizeof(T)).run(x, columns);
  if (!gradients_) return;
  for (int64_t f = 0; f < l_.feature_panels; ++f) {
    T* packed = at(run, l_.x_panels) + (f * l_.panels * kTileColumns + first) * kTileColumns;
    const int64_t count = std::min(kTileColumns, features_ - f * kTileColumns);
    for (int64_t r = 0; r < rows; ++r, packed += kTileColumns) {
      std::copy_n(x + r * features_ + f * kTileColumns, count, packed);
      std::fill(packed + count, packed + kTileColumns, T(0));
    }
  }
}

// Rows [first, first + count) of the weight, each contiguous.
template <class T>
const T* LinearCrossEntropy<T>::weight_rows(const Run& run, const Task& task, int64_t first, int64_t count,
                                            int64_t& stride) const {
  const T* weight = run.args.template input<T>(kWeight) + first * class_stride_;
  stride = class_stride_;
  if (feature_stride_ == 1) return weight;
  T* packed = at(run, l_.weight) + task.index * kTileClasses * features_;
  const int64_t dims[] = {count, features_}, from[] = {class_stride_, feature_stride_}, to[] = {features_, 1};
  simd::StridedCopy(2, dims, from, to, sizeof(T)).run(weight, packed);
  stride = features_;
  return packed;
}

// The same rows transposed.
template <class T>
const T* LinearCrossEntropy<T>::weight_columns(const Run& run, const Task& task, int64_t first, int64_t count,
                                               int64_t& stride) const {
  const T* weight = run.args.template input<T>(kWeight) + first * class_stride_;
  stride = feature_stride_;
  if (class_stride_ == 1) return weight;
  T* packed = at(run, l_.weight) + task.index * kClassesAtOnce * features_;
  const int64_t dims[] = {features_, count}, from[] = {feature_stride_, class_stride_}, to[] = {count, 1};
  simd::StridedCopy(2, dims, from, to, sizeof(T)).run(weight, packed);
  stride = count;
  return packed;
}

template <class T>
void LinearCrossEntropy<T>::first_visit(const Run& run, const Task& task) const {
  simd::PanelProduct<T> p;
  p.depth = features_;
  p.panel_row = p.c_row = kTileColumns;
  p.c = at(run, l_.logits) + task.index * kTileClasses * kTileColumns;
  for (int64_t t = task.first_tile; t < task.end_tile; ++t) {
    const int64_t first = t * kTileClasses;
    p.rows = std::min(kTileClasses, classes_ - first);
    p.a = weight_rows(run, task, first, p.rows, p.a_row);
    const int64_t next = t + 1 < task.end_tile ? first + kTileClasses : classes_;
    for (int64_t panel = task.first_panel; panel < task.end_panel; ++panel) {
      p.columns = columns_of(run, panel);
      p.panel = at(run, l_.x_columns) + panel * kTileColumns * features_;
      p.next = part_of_weight(run, next, kTileClasses, panel - task.first_panel,
                              task.end_panel - task.first_panel);
      simd::panel_product(p);
      exponentials(run, p.c, panel, t);
    }
  }
}

template <class T>
void LinearCrossEntropy<T>::exponentials(const Run& run, T* logits, int64_t panel, int64_t tile) const {
  const int64_t first = tile * kTileClasses;
  simd::ExpColumns<T> e;
  e.rows = std::min(kTileClasses, classes_ - first), e.columns = columns_of(run, panel);
  e.x = logits;
  e.bias = bias_ ? run.args.template input<T>(kBias) + first : nullptr;
  e.e = gradients_ ? tile_at(run, panel, first) : logits;
  e.stream = l_.streams;
  e.max = statistic(run, l_.max, panel, tile);
  e.sum = statistic(run, l_.sum, panel, tile);
  e.gaps = smoothing_ != 0 ? statistic(run, l_.gaps, panel, tile) : nullptr;
  for (int64_t r = 0; r < rows_of(run, panel); ++r) {
    const int64_t row = panel * kTileColumns + r, c = label(run, row) - first;
    if (c >= 0 && c < e.rows)
      at(run, l_.label_logit)[row] = logits[c * kTileColumns + r] + (e.bias ? e.bias[c] : T(0));
  }
  simd::exp_columns(e);
}

// Loss and log-sum-exp of a panel's rows, and what turns their exponentials into gradients.
template <class T>
void LinearCrossEntropy<T>::join(const Run& run, int64_t panel) const {
  const int64_t first = panel * kTileColumns;
  simd::JoinColumns<T> j;
  j.tiles = l_.tiles, j.columns = columns_of(run, panel);
  j.largest = at(run, l_.largest) + first;
  j.total = at<double>(run, l_.total) + first;
  j.max = statistic(run, l_.max, panel, 0);
  j.sum = statistic(run, l_.sum, panel, 0);
  T* losses = (each_row_ ? run.args.template output<T>(kLoss) : at(run, l_.losses)) + run.first + first;
  T* lse = run.args.template output<T>(kLse) + run.first + first;
  double gaps[kTileColumns] = {};
  for (int64_t t = 0; smoothing_ != 0 && t < l_.tiles; ++t) {
    const double count = static_cast<double>(std::min(kTileClasses, classes_ - t * kTileClasses));
    for (int64_t r = 0; r < kTileColumns; ++r)  // the tile's maximum for now
      gaps[r] +=
          static_cast<double>(statistic(run, l_.gaps, panel, t)[r]) - count * j.max[t * kTileColumns + r];
  }
  simd::join_columns(j);
  const double share = smoothing_ / static_cast<double>(classes_), weight = 1 / run.divisor;
  for (int64_t r = 0; r < kTileColumns; ++r) {
    const int64_t row = first + r;
    T &scale = at(run, l_.scale)[row], &shift = at(run, l_.shift)[row];
    scale = shift = 0;
    if (r >= rows_of(run, panel)) continue;
    const double largest = j.largest[r], log_sum = std::log(j.total[r]);
    lse[r] = static_cast<T>(largest + log_sum);
    losses[r] = 0;
    if (label(run, row) == ignore_index_) continue;
    const double gap = largest - static_cast<double>(at(run, l_.label_logit)[row]);
    double loss = gap + log_sum;
    if (smoothing_ != 0) {
      const double all = gaps[r] / static_cast<double>(classes_) + largest + log_sum;
      loss = (1 - smoothing_) * loss + smoothing_ * all;
    }
    losses[r] = static_cast<T>(loss);
    scale = static_cast<T>(weight / j.total[r]);
    shift = static_cast<T>(weight * share);
    at(run, l_.label_gradient)[row] =
        static_cast<T>(weight * (std::exp(-gap) / j.total[r] - (1 - smoothing_) - share));
  }
}

// The exponentials of classes [first, first + count) become the gradient of their logits.
template <class T>
void LinearCrossEntropy<T>::make_gradient(const Run& run, int64_t panel, int64_t first, int64_t count,
                                          T* bias_sums) const {
  const int64_t first_row = panel * kTileColumns;
  T* g = tile_at(run, panel, first);
  simd::ScaleColumns<T> s;
  s.columns = columns_of(run, panel);
  s.scale = at(run, l_.scale) + first_row;
  s.shift = at(run, l_.shift) + first_row;
  for (int64_t c = 0; c < count; c += kTileClasses) {
    s.rows = std::min(kTileClasses, count - c);
    s.e = g + c * kTileColumns;
    s.factor = statistic(run, l_.max, panel, (first + c) / kTileClasses);
    simd::scale_columns(s);
  }
  for (int64_t r = 0; r < rows_of(run, panel); ++r) {
    const int64_t of_class = label(run, first_row + r);
    if (of_class >= first && of_class < first + count && of_class != ignore_index_)
      g[(of_class - first) * kTileColumns + r] = at(run, l_.label_gradient)[first_row + r];
  }
  if (bias_) simd::add_row_sums(g, count, s.columns, bias_sums + first);
}

template <class T>
void LinearCrossEntropy<T>::second_visit(const Run& run, const Task& task) const {
  const int64_t panels = task.end_panel - task.first_panel;
  if (panels == 0) return;
  T* weight_gradient = run.args.template output<T>(kGradWeight);
  T* bias_sums = bias_ ? run.args.template output<T>(kGradBias) : nullptr;
  if (task.row_group > 0) {
    weight_gradient = at(run, l_.weight_parts) + (task.row_group - 1) * classes_ * features_;
    bias_sums = at(run, l_.bias_parts) + (task.row_group - 1) * classes_;
  }
  const int64_t begin = task.first_tile * kTileClasses,
                end = std::min(classes_, task.end_tile * kTileClasses);
  if (bias_ && run.chunk == 0) std::fill(bias_sums + begin, bias_sums + end, T(0));
  simd::PanelProduct<T> p;
  p.rows = features_;
  p.panel_row = p.c_row = kTileColumns;
  for (int64_t first = begin; first < end; first += kClassesAtOnce) {
    const int64_t count = std::min(kClassesAtOnce, end - first);
    T* gradient = weight_gradient + first * features_;
    p.depth = count;
    p.a = weight_columns(run, task, first, count, p.a_row);
    p.add = first > begin;
    for (int64_t panel = task.first_panel; panel < task.end_panel; ++panel) {
      make_gradient(run, panel, first, count, bias_sums);
      p.columns = columns_of(run, panel);
      p.panel = tile_at(run, panel, first);
      p.c = at(run, l_.x_gradient) + (task.class_group * l_.panels + panel) * kTileColumns * features_;
      p.next = {};
      if (panel + 1 < task.end_panel) p.next = {tile_at(run, panel + 1, first), count * kTileColumns};
      p.next_too = {};
      if (run.chunk > 0) p.next_too = part(gradient, count * features_, panel - task.first_panel, panels);
      simd::panel_product(p);
    }
    add_weight_gradient(run, task, first, count, std::min(kClassesAtOnce, end - first - count), gradient);
  }
}

// Of `count` classes. While it is summed, what the `next` ones need is fetched.
template <class T>
void LinearCrossEntropy<T>::add_weight_gradient(const Run& run, const Task& task, int64_t first,
                                                int64_t count, int64_t next, T* gradient) const {
  simd::PanelProduct<T> p;
  p.rows = count;
  p.depth = std::min(task.end_panel * kTileColumns, run.rows) - task.first_panel * kTileColumns;
  p.a = tile_at(run, task.first_panel, first), p.a_row = kTileColumns;
  p.a_piece = kTileColumns, p.a_jump = (classes_ - 1) * kTileColumns;
  p.panel_row = kTileColumns;
  p.c_row = features_;
  p.add = run.chunk > 0;
  for (int64_t f = 0; f < l_.feature_panels; ++f) {
    p.columns = std::min(kTileColumns, features_ - f * kTileColumns);
    p.panel = at(run, l_.x_panels) + (f * l_.panels + task.first_panel) * kTileColumns * kTileColumns;
    p.c = gradient + f * kTileColumns;
    p.next = part_of_weight(run, first + count, next, f, l_.feature_panels);
    if (f + 1 == l_.feature_panels && next > 0)
      p.next_too = {tile_at(run, task.first_panel, first + count), next * kTileColumns};
    simd::panel_product(p);
  }
}

template <class T>
void LinearCrossEntropy<T>::finish_x_gradient(const Run& run, int64_t panel) const {
  const int64_t size = kTileColumns * features_, first = panel * kTileColumns;
  T* sum = at(run, l_.x_gradient) + panel * size;
  for (int64_t g = 1; g < l_.class_groups; ++g)
    add_(sum, sum + g * l_.panels * size, sum, static_cast<size_t>(size), 0);
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
  const T *weight_parts = at(run, l_.weight_parts), *bias_parts = at(run, l_.bias_parts);
  for (int64_t g = 0; g + 1 < l_.row_groups; ++g) {
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
