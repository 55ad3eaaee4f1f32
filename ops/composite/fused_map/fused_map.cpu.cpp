// Fused maps on the tile machine.
//
//   space, axes merged where every operand allows it:   [outer..., rows..., columns]
//   item:  some rows (those of one outer position, where rows are summed), cut by the shape alone
//   tile:  rows x columns of an item; the machine runs on it, results to be reduced stay in scratch memory
//
// Sums over rows are gathered in double, one partial sum an item, and added up in order at the end.
#include <algorithm>
#include <array>
#include <cstring>

#include "framework/backend/cpu/onednn/scratch.h"
#include "ops/composite/fused_map/fused_map.h"
#include "ops/shared/blocks.h"
#include "ops/shared/reference.h"
#include "ops/shared/simd/reduce.h"
#include "ops/shared/tile/machine.h"
#include "ops/shared/tile/machine_loops.h"
#include "ops/shared/widen.h"

namespace fovea {
namespace {

using tiles::Code;
using tiles::Instr;

constexpr int kMaxKeys = 8, kMaxResults = 16, kMaxOperands = 64;
constexpr int64_t kTileElements = 8192;  // of a tile with reductions; scratch memory stays in the cache
constexpr int64_t kLongRow = 4096;       // longer rows are reduced in pieces
constexpr int64_t kGrain = 16384;        // elements of an item
constexpr int64_t kMostItems = 64;       // with partial sums: an item costs memory
constexpr int64_t kPatchRows = 16, kPatchColumns = 64;  // tiles of transposed operands

// One merged axis; strides of the operands, in elements.
struct Axis {
  enum Group { outer, row, column };
  int64_t size = 1;
  Group group = row;
  std::array<int64_t, kMaxOperands> stride{};
};

struct Reduction {
  MapResult kind = MapResult::map;
  int32_t result = 0;    // of the op
  int32_t source = -1;   // result of the machine that holds its elements
  int64_t partials = 0;  // sum_first: where its partial sums begin, in doubles
};

void store_double(DType dtype, void* base, int64_t at, double x) {
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kIsFloating<T>) {
      static_cast<T*>(base)[at] = narrow<T>(x);
    } else {
      element_access(dtype).store(base, at, x);
    }
  });
}

MapSpec spec_of(const KernelRequest& r) {
  std::vector<DType> types;
  for (const OperandSpec& o : r.in) types.push_back(o.dtype);
  return map_spec(r.attrs, types);
}

class FusedMap final : public PreparedKernel {
 public:
  FusedMap(const KernelRequest& r, MapSpec spec);
  int64_t workspace_bytes() const override { return partial_count_ * static_cast<int64_t>(sizeof(double)); }
  void launch(const KernelArgs& args) const override;

  /// Axes after merging; false where columns to be reduced do not merge into one.
  static bool supported(const KernelRequest& r);

 private:
  // What all items of one launch share.
  struct Launch {
    const KernelArgs& args;
    const void* operands[kMaxOperands];
    int64_t keys[kMaxKeys][2];
  };
  // What the tiles of one item share.
  struct Work {
    char* machine = nullptr;
    char* tiles = nullptr;   // machine results that are reduced
    double* sums = nullptr;  // of the item, sum_first
  };

  void merge_axes(const KernelRequest& r, const MapSpec& spec);
  void choose_results(const MapSpec& spec, const KernelRequest& r);
  void choose_items();
  void item(const Launch& launch, int64_t number) const;
  void tile(const Launch& launch, const Work& work, int64_t first_row, int64_t rows, int64_t column,
            int64_t columns, double* row_sums) const;
  void reduce_rows(const Reduction& reduction, const char* from, int64_t stride, int64_t rows,
                   int64_t columns, double* into, bool first) const;
  void add_partials(const KernelArgs& args) const;
  int64_t element() const { return size_of(compute_); }

  DType compute_ = DType::f32;
  std::vector<Axis> axes_;  // the last is the columns
  std::vector<DType> operand_types_;
  std::vector<std::pair<int32_t, int32_t>> keys_;  // operand, number of the key
  std::unique_ptr<tiles::Machine> machine_;
  std::vector<DType> machine_types_;
  std::vector<int32_t> machine_result_;  // result of the op that it is written to, or -1: kept in scratch
  std::vector<int32_t> scratch_slot_;    // by machine result: its place in scratch memory
  std::vector<Reduction> reductions_;
  std::vector<DType> types_;
  std::vector<int64_t> space_pinned_;
  int32_t scratch_results_ = 0, row_reductions_ = 0;
  int64_t outer_ = 1, rows_ = 1, columns_ = 1, inner_rows_ = 1;  // inner_rows_: of the last row axis
  int64_t rows_of_item_ = 1, row_items_ = 1, column_piece_ = 1, column_items_ = 1;
  int64_t tile_rows_ = 1, tile_columns_ = 1, items_ = 1, partial_count_ = 0, partials_of_item_ = 0;
  Blocks blocks_;
};

// ---- preparation

std::vector<bool> pinned_axes(const tiles::Program& p, int64_t rank) {
  std::vector<bool> pinned(static_cast<size_t>(rank), false);
  for (const Instr& i : p.code)
    if (i.code == Code::iota) pinned[i.index < 0 ? i.index + rank : i.index] = true;
  return pinned;
}

std::vector<bool> key_operands(const tiles::Program& p, size_t count) {
  std::vector<bool> key(count, false);
  for (const Instr& i : p.code)
    if (i.code == Code::random) key[i.a] = true;
  return key;
}

// The merged axes; `where[d]`: the axis that axis d of the space became part of.
std::vector<Axis> merged(const KernelRequest& r, const MapSpec& spec, std::vector<int64_t>& where) {
  const Dims space = evaluate(spec.space, {});
  const auto rank = static_cast<int64_t>(space.size());
  const std::vector<bool> pinned = pinned_axes(spec.program, rank);
  std::vector<bool> read(r.in.size(), false);  // others, and keys, need not broadcast
  for (const Instr& i : spec.program.code)
    if (i.code == Code::input) read[i.index] = true;
  std::vector<Dims> strides;
  for (size_t k = 0; k < r.in.size(); ++k)
    strides.push_back(read[k] ? broadcast_strides(r.in[k], space) : Dims(space.size(), 0));
  std::vector<Axis> axes;
  where.assign(space.size(), -1);
  bool may_merge = false;
  for (int64_t d = 0; d < rank; ++d) {
    Axis axis;
    axis.size = space[d];
    if (spec.reduces())
      axis.group = d < spec.outer ? Axis::outer : d >= rank - spec.columns ? Axis::column : Axis::row;
    for (size_t k = 0; k < r.in.size(); ++k) axis.stride[k] = strides[k][d];
    if (axis.size == 1 && !pinned[d]) continue;
    bool merge = may_merge && !pinned[d] && !axes.empty() && axes.back().group == axis.group;
    for (size_t k = 0; merge && k < r.in.size(); ++k)
      merge = axes.back().stride[k] == axis.stride[k] * axis.size;
    if (merge) {
      axis.size *= axes.back().size;
      axes.back() = axis;
    } else {
      axes.push_back(axis);
    }
    may_merge = !pinned[d];
    where[d] = static_cast<int64_t>(axes.size()) - 1;
  }
  if (axes.empty() || (spec.reduces() && axes.back().group != Axis::column)) {
    axes.emplace_back();
    axes.back().group = Axis::column;
  }
  return axes;
}

bool FusedMap::supported(const KernelRequest& r) {
  const MapSpec spec = spec_of(r);
  if (r.in.size() > kMaxOperands || spec.types.size() > kMaxResults) return false;
  const auto keys = key_operands(spec.program, r.in.size());
  if (std::count(keys.begin(), keys.end(), true) > kMaxKeys) return false;
  std::vector<int64_t> where;
  const auto axes = merged(r, spec, where);
  if (axes.size() > kMaxRank) return false;
  if (!spec.reduces()) return true;
  if (product(evaluate(spec.space, {})) == 0) return false;
  return std::count_if(axes.begin(), axes.end(), [](const Axis& a) { return a.group == Axis::column; }) == 1;
}

FusedMap::FusedMap(const KernelRequest& r, MapSpec spec) : types_(spec.types) {
  for (const OperandSpec& o : r.in) operand_types_.push_back(o.dtype);
  compute_ = map_compute(spec, operand_types_);
  merge_axes(r, spec);
  choose_results(spec, r);
  machine_ = std::make_unique<tiles::Machine>(spec.program, compute_);
  choose_items();
}

void FusedMap::merge_axes(const KernelRequest& r, const MapSpec& spec) {
  std::vector<int64_t> where;
  axes_ = merged(r, spec, where);
  columns_ = axes_.back().size;
  for (size_t a = 0; a + 1 < axes_.size(); ++a) {
    (axes_[a].group == Axis::outer ? outer_ : rows_) *= axes_[a].size;
  }
  if (axes_.size() > 1 && axes_[axes_.size() - 2].group == Axis::row)
    inner_rows_ = axes_[axes_.size() - 2].size;
  space_pinned_ = where;
  int32_t number = 0;
  const auto keys = key_operands(spec.program, r.in.size());
  for (size_t k = 0; k < keys.size(); ++k)
    if (keys[k]) keys_.push_back({static_cast<int32_t>(k), number++});
}

// The machine makes the whole results, and those to be reduced that are no whole result at the same time.
void FusedMap::choose_results(const MapSpec& spec, const KernelRequest& r) {
  const auto rank = static_cast<int64_t>(spec.space.size());
  tiles::Program& p = const_cast<tiles::Program&>(spec.program);
  for (Instr& i : p.code)
    if (i.code == Code::iota) i.index = space_pinned_[i.index < 0 ? i.index + rank : i.index];
  std::vector<int32_t> values;
  for (size_t k = 0; k < spec.types.size(); ++k) {
    if (spec.results[k] != MapResult::map) continue;
    values.push_back(p.results[k]);
    machine_result_.push_back(static_cast<int32_t>(k));
    machine_types_.push_back(spec.types[k]);
  }
  for (size_t k = 0; k < spec.types.size(); ++k) {
    if (spec.results[k] == MapResult::map) continue;
    Reduction reduction{spec.results[k], static_cast<int32_t>(k)};
    for (size_t m = 0; m < values.size(); ++m)
      if (values[m] == p.results[k] && machine_types_[m] == compute_)
        reduction.source = static_cast<int32_t>(m);
    if (reduction.source < 0) {
      reduction.source = static_cast<int32_t>(values.size());
      values.push_back(p.results[k]);
      machine_result_.push_back(-1);
      machine_types_.push_back(compute_);
    }
    row_reductions_ += reduction.kind != MapResult::sum_first;
    reductions_.push_back(reduction);
  }
  scratch_slot_.assign(values.size(), -1);
  for (size_t m = 0; m < values.size(); ++m)
    if (machine_result_[m] < 0) scratch_slot_[m] = scratch_results_++;
  p.results = values;
  (void)r;
}

void FusedMap::choose_items() {
  bool turned = false;  // an operand whose columns lie further apart than its rows
  if (axes_.size() > 1)
    for (size_t k = 0; k < operand_types_.size(); ++k) {
      const int64_t across = std::abs(axes_.back().stride[k]),
                    down = std::abs(axes_[axes_.size() - 2].stride[k]);
      turned = turned || (across > 1 && down != 0 && down < across);
    }
  tile_columns_ = columns_;
  if (!reductions_.empty()) tile_columns_ = std::min(columns_, kLongRow);
  if (turned) tile_columns_ = std::min(tile_columns_, kPatchColumns);
  tile_columns_ = std::max<int64_t>(1, tile_columns_);
  const int64_t least = turned ? kPatchRows : 1;
  tile_rows_ = std::clamp(kTileElements / tile_columns_, least, std::max<int64_t>(1, inner_rows_));
  if (!reductions_.empty()) {
    // Many outer positions make enough items; few are cut further, at the price of partial sums.
    rows_of_item_ = std::max(
        {(rows_ + kMostItems - 1) / kMostItems, kGrain / std::max<int64_t>(1, columns_), tile_rows_});
    column_piece_ = std::max<int64_t>(1, columns_);
  } else {
    column_piece_ = std::max<int64_t>(1, columns_ <= 2 * kGrain ? columns_ : kGrain);
    rows_of_item_ = std::max(tile_rows_, kGrain / column_piece_);
    tile_columns_ = std::min(tile_columns_, column_piece_);
  }
  rows_of_item_ = std::clamp<int64_t>(rows_of_item_, 1, std::max<int64_t>(1, rows_));
  row_items_ = block_count(rows_, rows_of_item_);
  column_items_ = block_count(columns_, column_piece_);
  for (Reduction& reduction : reductions_) {
    if (reduction.kind != MapResult::sum_first) continue;
    reduction.partials = partials_of_item_;
    partials_of_item_ += columns_;
  }
  if (!reductions_.empty()) column_items_ = 1;
  items_ = outer_ * row_items_ * column_items_;
  partial_count_ = items_ * partials_of_item_;
  const int64_t work = rows_of_item_ * column_piece_;
  blocks_ = Blocks(items_, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work)), 1 << 20);
}

// ---- running

void FusedMap::launch(const KernelArgs& args) const {
  Launch launch{args, {}, {}};
  for (size_t k = 0; k < operand_types_.size(); ++k) launch.operands[k] = args.in[k];
  for (auto [operand, number] : keys_) {  // a result may take over the memory of a key
    std::memcpy(launch.keys[number], args.in[operand], sizeof(launch.keys[number]));
    launch.operands[operand] = launch.keys[number];
  }
  for_blocks(args.pool, blocks_, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) item(launch, i);
  });
  if (partials_of_item_ > 0 || (items_ == 0 && !reductions_.empty())) add_partials(args);
}

void FusedMap::item(const Launch& launch, int64_t number) const {
  const int64_t column_item = number % column_items_, row_item = number / column_items_ % row_items_;
  const int64_t outer = number / column_items_ / row_items_;
  const int64_t first = row_item * rows_of_item_, last = std::min(rows_, first + rows_of_item_);
  const int64_t column0 = column_item * column_piece_, column1 = std::min(columns_, column0 + column_piece_);
  const auto aligned = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  const int64_t machine_bytes = aligned(machine_->scratch_bytes(tile_rows_, tile_columns_));
  const int64_t tile_bytes = aligned(tile_rows_ * tile_columns_ * 8);
  Work work;
  work.machine = onednn::thread_scratch(machine_bytes + scratch_results_ * tile_bytes +
                                        aligned(std::max(1, row_reductions_) * tile_rows_ * 8));
  work.tiles = work.machine + machine_bytes;
  double* row_sums = reinterpret_cast<double*>(work.tiles + scratch_results_ * tile_bytes);
  if (partials_of_item_ > 0) {
    work.sums = static_cast<double*>(launch.args.workspace) + number * partials_of_item_;
    std::fill_n(work.sums, partials_of_item_, 0.0);
  }
  for (int64_t row = first; row < last;) {
    const int64_t rows = std::min({tile_rows_, last - row, inner_rows_ - row % inner_rows_});
    for (int64_t column = column0; column < column1; column += tile_columns_)
      tile(launch, work, outer * rows_ + row, rows, column, std::min(tile_columns_, column1 - column),
           row_sums);
    int32_t slot = 0;
    for (const Reduction& reduction : reductions_) {
      if (reduction.kind == MapResult::sum_first) continue;
      const double* sums = row_sums + slot++ * tile_rows_;
      for (int64_t r = 0; r < rows; ++r)
        store_double(types_[reduction.result], launch.args.out[reduction.result], outer * rows_ + row + r,
                     sums[r]);
    }
    row += rows;
  }
}

// Rows [first_row, first_row + rows), counted through outer and row axes; all lie along the last row axis.
void FusedMap::tile(const Launch& launch, const Work& work, int64_t first_row, int64_t rows, int64_t column,
                    int64_t columns, double* row_sums) const {
  const size_t count = operand_types_.size(), last = axes_.size() - 1;
  int64_t index[kMaxRank + 1] = {}, offset[kMaxOperands] = {};
  int64_t rest = first_row;
  index[last] = column;
  for (size_t a = last; a-- > 0;) {
    index[a] = rest % axes_[a].size;
    rest /= axes_[a].size;
  }
  for (size_t a = 0; a <= last; ++a)
    for (size_t k = 0; k < count; ++k) offset[k] += index[a] * axes_[a].stride[k];
  tiles::Operand operands[kMaxOperands];
  for (size_t k = 0; k < count; ++k)
    operands[k] = {static_cast<const char*>(launch.operands[k]) + offset[k] * size_of(operand_types_[k]),
                   operand_types_[k], last > 0 ? axes_[last - 1].stride[k] : 0, axes_[last].stride[k]};
  const int64_t at = first_row * columns_ + column,
                tile_bytes = (tile_rows_ * tile_columns_ * 8 + 63) / 64 * 64;
  tiles::Tile t;
  t.rows = rows;
  t.columns = columns;
  t.operands = operands;
  t.index = index;
  t.rank = static_cast<int64_t>(axes_.size());
  t.linear = static_cast<uint64_t>(at);
  t.linear_row = static_cast<uint64_t>(columns_);
  // Results in scratch memory lie as far apart as whole ones, so that one number describes all.
  void* results[2 * kMaxResults];
  const bool narrow_tile = scratch_results_ > 0 && columns_ > tile_columns_;
  for (size_t m = 0; m < machine_result_.size(); ++m) {
    results[m] = machine_result_[m] >= 0 ? static_cast<char*>(launch.args.out[machine_result_[m]]) +
                                               at * size_of(machine_types_[m])
                                         : work.tiles + scratch_slot_[m] * tile_bytes;
  }
  if (!narrow_tile) {
    machine_->run(t, results, machine_types_.data(), columns_, work.machine);
  } else {
    for (int64_t r = 0; r < rows; ++r) {  // long rows are pieces: one row at a time
      tiles::Tile one = t;
      one.rows = 1;
      tiles::Operand shifted[kMaxOperands];
      for (size_t k = 0; k < count; ++k) {
        shifted[k] = operands[k];
        shifted[k].data =
            static_cast<const char*>(operands[k].data) + r * operands[k].row * size_of(operands[k].dtype);
      }
      one.operands = shifted;
      int64_t moved[kMaxRank + 1];
      std::copy(index, index + last + 1, moved);
      if (last > 0) moved[last - 1] += r;
      one.index = moved;
      one.linear = t.linear + static_cast<uint64_t>(r * columns_);
      void* here[2 * kMaxResults];
      for (size_t m = 0; m < machine_result_.size(); ++m)
        here[m] = machine_result_[m] >= 0
                      ? static_cast<char*>(results[m]) + r * columns_ * size_of(machine_types_[m])
                      : static_cast<char*>(results[m]) + r * tile_columns_ * element();
      machine_->run(one, here, machine_types_.data(), columns, work.machine);
    }
  }
  const int64_t scratch_row = narrow_tile ? tile_columns_ : columns_;
  int32_t slot = 0;
  for (const Reduction& reduction : reductions_) {
    const auto m = static_cast<size_t>(reduction.source);
    const char* from = static_cast<const char*>(results[m]);
    const int64_t stride = machine_result_[m] >= 0 ? columns_ : scratch_row;
    if (reduction.kind != MapResult::sum_first) {
      reduce_rows(reduction, from, stride, rows, columns, row_sums + slot++ * tile_rows_, column == 0);
      continue;
    }
    tiles::add_column_sums(from, static_cast<size_t>(stride), static_cast<size_t>(rows),
                           static_cast<size_t>(columns), work.sums + reduction.partials + column, compute_);
  }
}

void FusedMap::reduce_rows(const Reduction& reduction, const char* from, int64_t stride, int64_t rows,
                           int64_t columns, double* into, bool first) const {
  const char* op = reduction.kind == MapResult::max_last   ? "max"
                   : reduction.kind == MapResult::min_last ? "min"
                                                           : "sum";
  const auto reduce = simd::find_reduce_rows(op, compute_);
  for (int64_t r = 0; r < rows; ++r) {
    double x = 0;
    if (compute_ == DType::f64) {
      reduce(from + r * stride * 8, &x, 1, static_cast<size_t>(columns));
    } else {
      float y = 0;
      reduce(from + r * stride * 4, &y, 1, static_cast<size_t>(columns));
      x = static_cast<double>(y);
    }
    if (first) {
      into[r] = x;
    } else if (reduction.kind == MapResult::sum_last) {
      into[r] += x;
    } else if (into[r] == into[r]) {  // NaN stays
      const bool take = x != x || (reduction.kind == MapResult::max_last ? x > into[r] : x < into[r]);
      if (take) into[r] = x;
    }
  }
}

void FusedMap::add_partials(const KernelArgs& args) const {
  const double* partials = static_cast<const double*>(args.workspace);
  const Blocks blocks(outer_ * columns_, std::max<int64_t>(64, kGrain / std::max<int64_t>(1, row_items_)));
  for (const Reduction& reduction : reductions_) {
    if (reduction.kind != MapResult::sum_first) continue;
    for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double* p =
            partials + i / columns_ * row_items_ * partials_of_item_ + reduction.partials + i % columns_;
        double sum = 0;
        for (int64_t b = 0; b < row_items_; ++b) sum += p[b * partials_of_item_];
        store_double(types_[reduction.result], args.out[reduction.result], i, sum);
      }
    });
  }
}

bool reduces(const KernelRequest& r) { return spec_of(r).reduces(); }
bool first_is_whole(const KernelRequest& r) { return spec_of(r).results[0] == MapResult::map; }

constexpr const char* kUnsupported =
    "there are too many operands or results, the columns do not lie evenly, or there is nothing to reduce";

Kernel& prepared(Kernel& kernel) {
  return kernel.when(FusedMap::supported, kUnsupported)
      .strided()
      .prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
        return std::make_unique<FusedMap>(r, spec_of(r));
      });
}

}  // namespace

FOVEA_KERNEL(cpu, fused_map, tiles) {
  prepared(kernel.when([](const KernelRequest& r) { return !reduces(r); }, "results are reduced"));
  for (int o = 0; o < 8; ++o)
    for (int i = 0; i < 8; ++i) kernel.in_place(i, o);
}
FOVEA_KERNEL(cpu, fused_map, tiles_reduced) {
  prepared(kernel.priority(9).when(first_is_whole, "the first result is reduced"));
  for (int i = 0; i < 8; ++i) kernel.in_place(i, 0);
}
FOVEA_KERNEL(cpu, fused_map, tiles_all_reduced) { prepared(kernel.priority(8)); }

}  // namespace fovea
