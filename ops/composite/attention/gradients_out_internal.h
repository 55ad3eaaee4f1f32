// Where gradients go: results that one piece of work writes, results that several add to, and sums of small
// leaves.
#pragma once

#include <vector>

#include "ops/composite/attention/score_tiles_internal.h"

namespace fovea::attend {

/// A [batch..., Lq] operand as a view with rows of one element.
View row_view(const OperandSpec& operand, const Dims& space);

/// The results of attention_backward. Operands are numbered 0 q, 1 k, 2 v, 3 and up the leaves.
///
/// Batch axes are outer or inner: along inner axes some result is shared, so one task walks them in order.
///   whole    one task writes each element (q, k, v where no batch axis is shared)
///   shared   elements are added to, first set to 0; through a copy in the computing type for half types
///   summed   leaves that lack the query or the key axis: one sum for each position and part of the keys, in
///            double, added up in order
class GradientsOut {
 public:
  /// `compute`: the type in which elements are added up.
  GradientsOut(const KernelRequest& request, const Problem& problem, DType compute);
  /// Fixes the memory for that many parts of the keys.
  void reserve(int64_t parts);
  int64_t bytes() const { return bytes_; }

  /// One launch: its results, and bytes() of memory.
  struct Site {
    void* const* out;
    char* memory;
    ThreadPool& pool;
  };
  /// A piece of work: a position, its number, and a part of the keys.
  struct Piece {
    Position at;
    int64_t batch = 0, part = 0;
  };
  struct Box {
    int64_t row, rows, key, keys;
  };

  bool wants(size_t operand) const { return operand < of_.size() && of_[operand] >= 0; }
  bool shared(size_t operand) const { return wants(operand) && at(operand).shared; }
  std::vector<int64_t> wanted_leaves() const;  ///< numbered from 0

  int64_t outer() const { return outer_; }
  int64_t inner() const { return inner_; }
  Piece piece(int64_t outer, int64_t inner, int64_t part) const;

  /// Sets to 0 what is added to.
  void clear(const Site& site) const;
  /// Sets all results to 0: there is no work.
  void clear_results(const Site& site) const;
  /// The gradient of q, k or v can be made where it belongs: one task writes each element, and rows of
  /// `channels` elements lie there as they come.
  template <class T>
  bool in_place(size_t operand, int64_t channels) const {
    return wants(operand) && !shared(operand) && readable<T>(at(operand).view) &&
           at(operand).view.columns == channels;
  }
  /// Its rows at a position, from `first` on.
  template <class T>
  simd::Rows<T> rows(const Site& site, size_t operand, const Position& p, int64_t first) const {
    const View& to = at(operand).view;
    return {static_cast<T*>(to.at(site.out[at(operand).output], offset(to, p))) + first * to.row, to.row};
  }
  /// Rows [first, first + rows) of the gradient of q, k or v at a position.
  template <class T>
  void put(const Site& site, size_t operand, const Position& at, int64_t first, int64_t rows, const T* from,
           int64_t from_row) const;
  /// Adds a tile of the gradient of a leaf.
  template <class T>
  void add_leaf(const Site& site, const Piece& piece, int64_t leaf, const Box& box, const T* tile,
                int64_t row) const;
  /// Converts and adds up what is left to do.
  template <class T>
  void finish(const Site& site) const;

  /// Positions of an operand's own batch axes.
  int64_t heads(size_t operand) const;
  Position head_position(size_t operand, int64_t head) const;
  /// f(batch) for each position of the space that shares a head, in order.
  template <class F>
  void each_sharing(size_t operand, int64_t head, F f) const {
    const Position p = head_position(operand, head);
    const int64_t n = sharing(operand);
    for (int64_t i = 0; i < n; ++i) f(sharing_batch(operand, p, i));
  }

 private:
  struct Out {
    size_t output = 0;
    View view;                     // of the result
    View target;                   // of what is written to: the result, or a copy in the computing type
    Dims batch;                    // own batch axes
    int64_t size = 0, offset = 0;  // elements; bytes into the memory
    bool shared = false, staged = false, summed = false;
  };
  const Out& at(size_t operand) const { return outs_[static_cast<size_t>(of_[operand])]; }
  void add_output(const KernelRequest& request, size_t operand, size_t output);
  void split_axes();
  void* target(const Site& site, const Out& out) const {
    return out.staged ? site.memory + out.offset : site.out[out.output];
  }
  int64_t sharing(size_t operand) const;
  int64_t sharing_batch(size_t operand, Position p, int64_t i) const;
  int64_t offset(const View& view, const Position& p) const;
  template <class T>
  void convert(const Site& site, size_t operand) const;
  template <class T>
  void add_up(const Site& site, size_t operand) const;

  Dims space_;
  size_t batch_rank_ = 0;
  DType compute_;
  std::vector<Out> outs_;
  std::vector<int64_t> of_;  // by operand: its place in outs_, or -1
  std::vector<size_t> outer_axes_, inner_axes_;
  int64_t outer_ = 1, inner_ = 1, parts_ = 1, bytes_ = 0;
};

#define FOVEA_ATTENTION_GRADIENTS(T)                                                                       \
  extern template void GradientsOut::put(const Site&, size_t, const Position&, int64_t, int64_t, const T*, \
                                         int64_t) const;                                                   \
  extern template void GradientsOut::add_leaf(const Site&, const Piece&, int64_t, const Box&, const T*,    \
                                              int64_t) const;                                              \
  extern template void GradientsOut::finish<T>(const Site&) const;
FOVEA_ATTENTION_GRADIENTS(float)
FOVEA_ATTENTION_GRADIENTS(double)
#undef FOVEA_ATTENTION_GRADIENTS

}  // namespace fovea::attend
