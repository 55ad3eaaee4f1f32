#include "ops/composite/attention/score_tiles_internal.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "ops/composite/attention/spec_internal.h"
#include "ops/shared/random_scope.h"
#include "ops/shared/widen.h"

namespace fovea::attend {
namespace {

using tiles::Interval;
using tiles::Program;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Interval kUnknown{-DBL_MAX, DBL_MAX};
constexpr double kMasked = -1000;          // numbers up to here look like masks
constexpr double kMostDistance = 1 << 24;  // f32 holds all whole numbers below

template <class T>
constexpr DType kTypeOf = sizeof(T) == 8 ? DType::f64 : DType::f32;

Program with_result(const Program& whole, int32_t value) {
  Program p = whole;
  p.results = {value};
  p.compact();
  return p;
}

std::vector<int64_t> leaves_read(const Program& p, const std::vector<int64_t>& wanted) {
  std::vector<int64_t> out;
  for (int64_t w : wanted)
    if (!p.empty() && p.reads_input(p.results[0], w + 1)) out.push_back(w + 1);
  return out;
}

bool has_select(const Program& p) {
  return std::any_of(p.code.begin(), p.code.end(),
                     [](const tiles::Instr& in) { return in.code == tiles::Code::select; });
}

double read(DType type, const void* p) {
  switch (type) {
    case DType::f32:
      return *static_cast<const float*>(p);
    case DType::f64:
      return *static_cast<const double*>(p);
    case DType::i64:
      return static_cast<double>(*static_cast<const int64_t*>(p));
    case DType::i32:
      return *static_cast<const int32_t*>(p);
    case DType::boolean:
      return *static_cast<const uint8_t*>(p) != 0;
    default:
      return dispatch(type, [&](auto zero) {
        return static_cast<double>(widen(*static_cast<const decltype(zero)*>(p)));
      });
  }
}

// The bounds of a line of values; NaN makes them unknown.
Interval bounds_of_line(DType type, const char* p, int64_t step, int64_t n) {
  Interval x{kInf, -kInf};
  for (int64_t i = 0; i < n; ++i) {
    const double v = read(type, p + i * step);
    if (v != v) return kUnknown;
    x.low = std::min(x.low, v);
    x.high = std::max(x.high, v);
  }
  return x;
}

}  // namespace

TileProgram::TileProgram(Program program, DType compute)
    : program_(std::move(program)),
      machine_(std::make_unique<tiles::Machine>(program_, compute)),
      types_(program_.results.size(), compute) {}

template <class T>
ScoreTiles<T>::ScoreTiles(const AttentionSpec& spec, const Problem& problem, bool backward,
                          const std::vector<int64_t>& wanted)
    : problem_(problem), keys_(problem.leaves.size() + 1, false) {
  for (const Program* p : {&spec.score, &spec.factor, &spec.sink}) {
    const auto own = key_operands(*p, keys_.size());
    for (size_t i = 0; i < keys_.size(); ++i) keys_[i] = keys_[i] || own[i];
  }
  const auto leaf = [&](int64_t operand) -> const View& {
    return problem_.leaves[static_cast<size_t>(operand) - 1];
  };
  form_ = analyse(spec.score, problem.rank,
                  [&](int64_t operand) { return leaf(operand).rows == 1 && leaf(operand).columns == 1; });
  score_leaves_ = leaves_read(spec.score, wanted);
  factor_leaves_ = leaves_read(spec.factor, wanted);
  sink_leaves_ = leaves_read(spec.sink, wanted);
  if (form_.linear && form_.bias >= 0) {
    const View& bias = leaf(form_.bias);
    form_.linear = bias.dtype == kTypeOf<T> && (bias.column == 0 || bias.column == 1);
  }
  if (form_.linear && form_.line.found) {
    const ScoreLine& line = form_.line;
    const double furthest = std::abs(static_cast<double>(line.key)) * static_cast<double>(problem.keys) +
                            std::abs(static_cast<double>(line.query)) * static_cast<double>(problem.queries) +
                            std::abs(static_cast<double>(line.constant));
    form_.linear = furthest < kMostDistance && (line.leaf < 0 || leaf(line.leaf).dtype == kTypeOf<T>);
    for (int64_t j = 0; j < kMostKeysOfTile; ++j) ramp_.push_back(static_cast<T>(j));
  }
  const DType compute = kTypeOf<T>;
  const auto make = [&](Program p) { return std::make_unique<TileProgram>(std::move(p), compute); };
  if (!spec.score.empty()) {
    if (!form_.linear || has_finite_fill()) whole_ = make(spec.score);
    if (!form_.linear)
      inner_ = make(form_.bounds.empty() ? spec.score : with_result(spec.score, form_.inner));
    classify_inner_ = inner_ != nullptr && has_select(inner_->program());
  }
  if (!spec.factor.empty()) factor_ = make(spec.factor);
  dropout_ = find_dropout(spec.factor);
  if (!spec.sink.empty()) sink_ = make(spec.sink);
  if (!backward) return;
  const auto gradient = static_cast<int64_t>(problem_.leaves.size()) + 1;
  std::vector<int64_t> wrt{0};
  wrt.insert(wrt.end(), score_leaves_.begin(), score_leaves_.end());
  if (inner_) derivative_ = make(tiles::derivative(inner_->program(), wrt, gradient));
  if (whole_) exact_derivative_ = make(tiles::derivative(whole_->program(), wrt, gradient));
  if (!factor_leaves_.empty())
    factor_derivative_ = make(tiles::derivative(spec.factor, factor_leaves_, gradient));
  if (!sink_leaves_.empty()) sink_derivative_ = make(tiles::derivative(spec.sink, sink_leaves_, gradient));
}

template <class T>
ScoreTiles<T>::Scratch::Scratch(const ScoreTiles& tiles, int64_t rows, int64_t keys, Arena& arena) {
  begin = arena.take<int32_t>(rows);
  end = arena.take<int32_t>(rows);
  const auto operands_count = static_cast<int64_t>(tiles.problem_.leaves.size()) + 2;
  operands = arena.take<tiles::Operand>(operands_count);
  bounds = arena.take<Interval>(operands_count);
  size_t values_count = 0;
  int64_t bytes = 0;
  for (const auto* p : {&tiles.whole_, &tiles.inner_, &tiles.factor_, &tiles.sink_, &tiles.derivative_,
                        &tiles.exact_derivative_, &tiles.factor_derivative_, &tiles.sink_derivative_}) {
    if (!*p) continue;
    values_count = std::max(values_count, (*p)->program().code.size());
    bytes = std::max(bytes, (*p)->machine().scratch_bytes(rows, keys));
  }
  values = arena.take<Interval>(static_cast<int64_t>(values_count));
  machine = arena.take<char>(bytes);
}

template <class T>
void ScoreTiles<T>::key_ranges(const RowBlock& block, int64_t key, int64_t keys, TilePlan& plan,
                               Scratch& scratch) const {
  bool all = true, none = true;
  for (int64_t r = 0; r < block.rows; ++r) scratch.begin[r] = 0, scratch.end[r] = static_cast<int32_t>(keys);
  for (const KeyBound& b : form_.bounds) {
    int64_t edge = b.constant - key;
    if (b.leaf >= 0) {
      const View& view = problem_.leaves[static_cast<size_t>(b.leaf) - 1];
      const void* base = block.in[problem_.first_leaf + static_cast<size_t>(b.leaf) - 1];
      const double value = read(view.dtype, view.at(base, problem_.offset(view, block.at)));
      edge += b.leaf_factor * static_cast<int64_t>(std::clamp(value, -1e12, 1e12));
    }
    for (int64_t r = 0; r < block.rows; ++r) {
      const auto at = static_cast<int32_t>(std::clamp<int64_t>(edge + b.query * (block.first + r), 0, keys));
      if (b.upper)
        scratch.end[r] = std::min(scratch.end[r], at);
      else
        scratch.begin[r] = std::max(scratch.begin[r], at);
    }
  }
  for (int64_t r = 0; r < block.rows; ++r) {
    all = all && scratch.begin[r] == 0 && scratch.end[r] == keys;
    none = none && scratch.begin[r] >= scratch.end[r];
  }
  if (none) plan.kind = TileClass::skip;
  if (!all) plan.ranges = {scratch.begin, scratch.end};
}

template <class T>
Interval ScoreTiles<T>::leaf_bounds(const RowBlock& block, int64_t key, int64_t keys, size_t leaf) const {
  const View& view = problem_.leaves[leaf];
  if (keys_[leaf + 1]) return kUnknown;
  const int64_t rows = view.rows == 1 ? 1 : block.rows, columns = view.columns == 1 ? 1 : keys;
  const int64_t offset = problem_.offset(view, block.at) + block.first * view.row + key * view.column;
  const char* p = static_cast<const char*>(view.at(block.in[problem_.first_leaf + leaf], offset));
  if (rows == 1) return bounds_of_line(view.dtype, p, view.column * view.nbytes, columns);
  if (columns == 1) return bounds_of_line(view.dtype, p, view.row * view.nbytes, rows);
  // A matrix is read for as long as it looks like one number (a mask's blocks).
  const double first = read(view.dtype, p);
  if (view.dtype == DType::boolean) {
    const int other = first != 0 ? 0 : 1;
    for (int64_t r = 0; r < rows; ++r) {
      const char* row = p + r * view.row;
      if (view.column != 1 || std::memchr(row, other, static_cast<size_t>(columns))) return {0, 1};
    }
    return {first, first};
  }
  if (!(first <= kMasked)) return kUnknown;
  Interval x{first, first};
  for (int64_t r = 0; r < rows; ++r) {
    const Interval line =
        bounds_of_line(view.dtype, p + r * view.row * view.nbytes, view.column * view.nbytes, columns);
    x = {std::min(x.low, line.low), std::max(x.high, line.high)};
    if (x.high > kMasked) return kUnknown;
  }
  return x;
}

template <class T>
void ScoreTiles<T>::classify(const RowBlock& block, int64_t key, int64_t keys, const Program& program,
                             TilePlan& plan, Scratch& scratch) const {
  for (size_t i = 0; i < problem_.leaves.size() + 2; ++i) scratch.bounds[i] = kUnknown;
  for (size_t i = 0; i < problem_.leaves.size(); ++i)
    scratch.bounds[i + 1] = leaf_bounds(block, key, keys, i);
  int64_t begin[kMaxRank], end[kMaxRank];
  for (int a = 0; a < problem_.batch_rank; ++a) begin[a] = block.at.index[a], end[a] = begin[a] + 1;
  begin[problem_.rank - 2] = block.first, end[problem_.rank - 2] = block.first + block.rows;
  begin[problem_.rank - 1] = key, end[problem_.rank - 1] = key + keys;
  const auto rank = static_cast<size_t>(problem_.rank);
  tiles::intervals(program, {scratch.bounds, problem_.leaves.size() + 2}, {begin, rank}, {end, rank},
                   {scratch.values, program.code.size()});
  const Interval& score = scratch.values[program.results[0]];
  if (score.high == -kInf) plan.kind = TileClass::skip;
  if (score.constant() && score.high > -kInf && score.high <= kMasked) {
    plan.kind = TileClass::constant;
    plan.constant = score.high;
  }
}

template <class T>
TilePlan ScoreTiles<T>::plan(const RowBlock& block, int64_t key, int64_t keys, bool exact,
                             Scratch& scratch) const {
  TilePlan plan;
  if (exact) return plan;
  if (!form_.bounds.empty()) key_ranges(block, key, keys, plan, scratch);
  if (plan.kind == TileClass::skip) return plan;
  if (classify_inner_) classify(block, key, keys, inner_->program(), plan, scratch);
  if (form_.linear && form_.bias >= 0 &&
      leaf_bounds(block, key, keys, static_cast<size_t>(form_.bias) - 1).high == -kInf)
    plan.kind = TileClass::skip;
  return plan;
}

template <class T>
simd::ScoreBias<T> ScoreTiles<T>::bias(const RowBlock& block, int64_t key, bool exact) const {
  if (!direct(exact)) return {};
  if (form_.line.found) return line(block, key);
  if (form_.bias < 0) return {};
  const View& view = problem_.leaves[static_cast<size_t>(form_.bias) - 1];
  const void* base = block.in[problem_.first_leaf + static_cast<size_t>(form_.bias) - 1];
  const int64_t offset = problem_.offset(view, block.at) + block.first * view.row + key * view.column;
  return {static_cast<const T*>(view.at(base, offset)), view.row, view.column};
}

template <class T>
simd::ScoreBias<T> ScoreTiles<T>::line(const RowBlock& block, int64_t key) const {
  const ScoreLine& line = form_.line;
  simd::ScoreBias<T> bias{ramp_.data(), 0, 1};
  bias.line = true;
  bias.slope = static_cast<T>(line.slope);
  if (line.leaf >= 0) {
    const View& view = problem_.leaves[static_cast<size_t>(line.leaf) - 1];
    const void* base = block.in[problem_.first_leaf + static_cast<size_t>(line.leaf) - 1];
    bias.slope *= *static_cast<const T*>(view.at(base, problem_.offset(view, block.at)));
  }
  bias.key = static_cast<T>(line.key);
  bias.query = static_cast<T>(line.query);
  bias.first = static_cast<T>(line.constant + line.key * key + line.query * block.first);
  return bias;
}

template <class T>
void ScoreTiles<T>::slope_gradient(const RowBlock& block, int64_t key, int64_t keys, const T* gradient,
                                   int64_t row, T* out) const {
  const simd::ScoreBias<T> bias = line(block, key);
  const T sign = static_cast<T>(form_.line.slope);
  for (int64_t r = 0; r < block.rows; ++r) {
    const T first = sign * (bias.first + bias.query * static_cast<T>(r)), step = sign * bias.key;
    for (int64_t j = 0; j < keys; ++j)
      out[r * row + j] = gradient[r * row + j] * (first + step * bias.data[j]);
  }
}

// The number of a tile's first element among all scores.
template <class T>
uint64_t ScoreTiles<T>::linear(const RowBlock& block, int64_t key) const {
  const auto row = static_cast<uint64_t>(block.batch) * static_cast<uint64_t>(problem_.queries) +
                   static_cast<uint64_t>(block.first);
  return row * static_cast<uint64_t>(problem_.keys) + static_cast<uint64_t>(key);
}

template <class T>
void ScoreTiles<T>::run(const TileProgram& program, const RowBlock& block, int64_t key, int64_t keys,
                        const T* s, int64_t row, const T* extra, T* const* results, Scratch& scratch) const {
  tiles::Operand* operands = scratch.operands;
  operands[0] = {s, kTypeOf<T>, row, 1};
  for (size_t i = 0; i < problem_.leaves.size(); ++i) {
    const View& view = problem_.leaves[i];
    const void* base = block.in[problem_.first_leaf + i];
    if (keys_[i + 1]) {
      operands[i + 1] = {base, view.dtype, 0, view.column};
      continue;
    }
    const int64_t offset = problem_.offset(view, block.at) + block.first * view.row + key * view.column;
    operands[i + 1] = {view.at(base, offset), view.dtype, view.row, view.column};
  }
  operands[problem_.leaves.size() + 1] = {extra, kTypeOf<T>, row, 1};
  Position index = block.at;
  index.index[problem_.rank - 2] = block.first;
  index.index[problem_.rank - 1] = key;
  tiles::Tile t;
  t.rows = block.rows;
  t.columns = keys;
  t.operands = operands;
  t.index = index.index;
  t.rank = problem_.rank;
  t.linear = linear(block, key);
  t.linear_row = static_cast<uint64_t>(problem_.keys);
  program.machine().run(t, reinterpret_cast<void* const*>(results), program.types(), row, scratch.machine);
}

template <class T>
void ScoreTiles<T>::scores(const RowBlock& block, int64_t key, int64_t keys, bool exact, const T* s, T* out,
                           int64_t row, Scratch& scratch) const {
  run(exact ? *whole_ : *inner_, block, key, keys, s, row, nullptr, &out, scratch);
}

template <class T>
void ScoreTiles<T>::factor(const RowBlock& block, int64_t key, int64_t keys, T* out, int64_t row,
                           Scratch& scratch) const {
  if (!dropout_.found) return run(*factor_, block, key, keys, nullptr, row, nullptr, &out, scratch);
  constexpr int64_t kMost = 512;
  int32_t bits[kMost];
  const auto leaf = static_cast<size_t>(dropout_.key) - 1;
  const char* words = static_cast<const char*>(block.in[problem_.first_leaf + leaf]);
  int64_t state[2];
  std::memcpy(state, words, sizeof(int64_t));
  std::memcpy(state + 1, words + problem_.leaves[leaf].column * 8, sizeof(int64_t));
  const simd::RandomStream stream = random_stream(state, dropout_.stream);
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t j = 0; j < keys; j += kMost) {
      const int64_t n = std::min(kMost, keys - j);
      const uint64_t at = linear(block, key) + static_cast<uint64_t>(r * problem_.keys + j);
      simd::random_bits(stream, at, at + static_cast<uint64_t>(n), bits);
      simd::attention_kernels<T>().choose(bits, n, dropout_.threshold, static_cast<T>(dropout_.below),
                                          static_cast<T>(dropout_.above), out + r * row + j);
    }
}

template <class T>
void ScoreTiles<T>::sink(const RowBlock& block, T* out, Scratch& scratch) const {
  run(*sink_, block, 0, 1, nullptr, 1, nullptr, &out, scratch);
}

template <class T>
void ScoreTiles<T>::derivative(const RowBlock& block, int64_t key, int64_t keys, bool exact, const T* s,
                               int64_t row, const T* gradient, T* const* results, Scratch& scratch) const {
  run(exact ? *exact_derivative_ : *derivative_, block, key, keys, s, row, gradient, results, scratch);
}

template <class T>
void ScoreTiles<T>::factor_derivative(const RowBlock& block, int64_t key, int64_t keys, const T* gradient,
                                      int64_t row, T* const* results, Scratch& scratch) const {
  run(*factor_derivative_, block, key, keys, nullptr, row, gradient, results, scratch);
}

template <class T>
void ScoreTiles<T>::sink_derivative(const RowBlock& block, const T* gradient, T* const* results,
                                    Scratch& scratch) const {
  run(*sink_derivative_, block, 0, 1, nullptr, 1, gradient, results, scratch);
}

template class ScoreTiles<float>;
template class ScoreTiles<double>;

}  // namespace fovea::attend
