// Scores tile by tile: which tiles a mask empties, which keys each row reads, and the programs that turn
// products into scores while a tile is in the cache.
#pragma once

#include <cmath>
#include <memory>

#include "framework/base/checked.h"

#include "ops/composite/attention/problem_internal.h"
#include "ops/composite/attention/score_form_internal.h"
#include "ops/shared/simd/attention.h"
#include "ops/shared/tile/machine.h"

namespace fovea::attend {

/// No tile has more keys.
inline constexpr int64_t kMostKeysOfTile = 256;

/// A program that runs on tiles of one problem.
class TileProgram {
 public:
  TileProgram(tiles::Program program, DType compute);
  const tiles::Program& program() const { return program_; }
  const tiles::Machine& machine() const { return *machine_; }
  const DType* types() const { return types_.data(); }  ///< the computing type for each result

 private:
  tiles::Program program_;
  std::unique_ptr<tiles::Machine> machine_;
  std::vector<DType> types_;
};

/// Memory of one task, handed out front to back. With null memory only the size is counted.
class Arena {
 public:
  explicit Arena(void* memory) : at_(static_cast<char*>(memory)) {}
  /// `count` elements, aligned to 64 bytes.
  template <class T>
  T* take(int64_t count) {
    char* p = at_ == nullptr ? nullptr : at_ + used_;
    const int64_t bytes = checked_mul(count, static_cast<int64_t>(sizeof(T)), "attention's memory");
    used_ = round_up(checked_add(used_, bytes, "attention's memory"), 64);
    return reinterpret_cast<T*>(p);
  }
  int64_t used() const { return used_; }

 private:
  char* at_;
  int64_t used_ = 0;
};

/// What to do with a tile.
enum class TileClass {
  skip,      ///< every score is -inf
  constant,  ///< every score is one low number: visit it when the maxima are known
  scores,    ///< some keys count
};

/// One tile of a task.
struct TilePlan {
  TileClass kind = TileClass::scores;
  simd::KeyRanges ranges;
  double constant = 0;  ///< the score of a constant tile
};

/// A block of rows at one position of the batch.
struct RowBlock {
  const void* const* in = nullptr;  ///< the operands of the launch
  Position at;                      ///< row index set, key index 0
  int64_t batch = 0, first = 0, rows = 0;
};

/// The score, factor and sink programs of an attention, compiled for computing type T.
template <class T>
class ScoreTiles {
 public:
  /// `wanted_leaves`: whose gradients the backward pass needs; `backward`: derivatives are needed at all.
  ScoreTiles(const AttentionSpec& spec, const Problem& problem, bool backward,
             const std::vector<int64_t>& wanted_leaves);

  /// Scratch memory of a task for tiles of at most rows x keys.
  struct Scratch {
    Scratch(const ScoreTiles& tiles, int64_t rows, int64_t keys, Arena& arena);
    int32_t *begin, *end;
    tiles::Operand* operands;
    tiles::Interval *bounds, *values;
    void* machine;
  };

  /// Bounds cannot stand for the mask: its fill is finite, and this block has rows where it may count.
  bool has_finite_fill() const { return !form_.bounds.empty() && std::isfinite(form_.fill); }
  double fill() const { return form_.fill; }
  bool has_factor() const { return factor_ != nullptr; }
  bool has_sink() const { return sink_ != nullptr; }
  bool is_linear() const { return form_.linear; }

  /// `exact`: masks are computed element by element.
  TilePlan plan(const RowBlock& block, int64_t key, int64_t keys, bool exact, Scratch& scratch) const;
  /// True where scores() has nothing to do: scale() and bias() say all.
  bool direct(bool exact) const { return form_.linear && !exact; }
  /// The slope of direct() scores: its gradient is that of the scores times the distances.
  bool has_slope() const { return form_.linear && form_.line.leaf >= 0; }
  void slope_gradient(const RowBlock& block, int64_t key, int64_t keys, const T* gradient, int64_t row,
                      T* out) const;
  T scale(bool exact) const { return direct(exact) ? static_cast<T>(form_.scale) : T(1); }
  simd::ScoreBias<T> bias(const RowBlock& block, int64_t key, bool exact) const;
  /// out = score(s), where not direct(exact); out may be s.
  void scores(const RowBlock& block, int64_t key, int64_t keys, bool exact, const T* s, T* out, int64_t row,
              Scratch& scratch) const;
  /// Columns [0, keys) of each row.
  void factor(const RowBlock& block, int64_t key, int64_t keys, T* out, int64_t row, Scratch& scratch) const;
  /// One value a row.
  void sink(const RowBlock& block, T* out, Scratch& scratch) const;

  // Derivatives, for the backward pass.
  /// Gradients of the leaves in `wanted` that the score reads: one result each behind that of s.
  bool has_derivative() const { return derivative_ != nullptr; }
  const std::vector<int64_t>& score_leaves() const { return score_leaves_; }
  const std::vector<int64_t>& factor_leaves() const { return factor_leaves_; }
  const std::vector<int64_t>& sink_leaves() const { return sink_leaves_; }
  void derivative(const RowBlock& block, int64_t key, int64_t keys, bool exact, const T* s, int64_t row,
                  const T* gradient, T* const* results, Scratch& scratch) const;
  void factor_derivative(const RowBlock& block, int64_t key, int64_t keys, const T* gradient, int64_t row,
                         T* const* results, Scratch& scratch) const;
  void sink_derivative(const RowBlock& block, const T* gradient, T* const* results, Scratch& scratch) const;

 private:
  void key_ranges(const RowBlock& block, int64_t key, int64_t keys, TilePlan& plan, Scratch& scratch) const;
  void classify(const RowBlock& block, int64_t key, int64_t keys, const tiles::Program& program,
                TilePlan& plan, Scratch& scratch) const;
  tiles::Interval leaf_bounds(const RowBlock& block, int64_t key, int64_t keys, size_t leaf) const;
  simd::ScoreBias<T> line(const RowBlock& block, int64_t key) const;
  uint64_t linear(const RowBlock& block, int64_t key) const;
  void run(const TileProgram& program, const RowBlock& block, int64_t key, int64_t keys, const T* s,
           int64_t row, const T* extra, T* const* results, Scratch& scratch) const;

  const Problem problem_;
  std::vector<bool> keys_;  // operands that are random keys
  ScoreForm form_;
  std::vector<T> ramp_;  // 0, 1, ... for lines
  DropoutForm dropout_;
  std::unique_ptr<TileProgram> whole_, inner_, factor_, sink_;
  bool classify_inner_ = false;
  std::vector<int64_t> score_leaves_, factor_leaves_, sink_leaves_;  // operand numbers
  std::unique_ptr<TileProgram> derivative_, exact_derivative_, factor_derivative_, sink_derivative_;
};

extern template class ScoreTiles<float>;
extern template class ScoreTiles<double>;

}  // namespace fovea::attend
