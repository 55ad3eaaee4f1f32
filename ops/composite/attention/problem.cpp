#include "ops/composite/attention/problem_internal.h"

#include <algorithm>
#include <cstring>

#include "framework/backend/cpu/onednn/convert.h"
#include "ops/composite/attention/spec_internal.h"

namespace fovea::attend {
namespace {

template <class T>
constexpr DType kTypeOf = sizeof(T) == 8 ? DType::f64 : DType::f32;

}  // namespace

View view_of(const OperandSpec& operand, const Dims& space) {
  View view;
  view.dtype = operand.dtype;
  view.nbytes = size_of(operand.dtype);
  const auto rank = operand.shape.size();
  const auto stride = [&](size_t axis) { return operand.shape[axis] == 1 ? 0 : operand.strides[axis]; };
  for (size_t a = 0; a + 2 < rank; ++a) view.batch[a] = space[a] == 1 ? 0 : stride(a);
  view.rows = operand.shape[rank - 2];
  view.columns = operand.shape[rank - 1];
  view.row = stride(rank - 2);
  view.column = stride(rank - 1);
  return view;
}

View ordered_view(const OperandSpec& operand, const std::vector<int64_t>& order, const Dims& space) {
  if (order.empty()) return view_of(operand, space);
  OperandSpec natural = operand;
  for (size_t i = 0; i < order.size(); ++i) {
    natural.shape[static_cast<size_t>(order[i])] = operand.shape[i];
    natural.strides[static_cast<size_t>(order[i])] = operand.strides[i];
  }
  return view_of(natural, space);
}

Dims space_of(const KernelRequest& r, const AttentionSpec& spec, size_t first_leaf) {
  const size_t rank = r.in[0].shape.size();
  Dims space(rank, 1);
  std::vector<bool> keys(r.in.size() - first_leaf + 1, false);
  for (const tiles::Program* p : {&spec.score, &spec.factor, &spec.sink}) {
    const auto own = key_operands(*p, keys.size());
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = keys[i] || own[i];
  }
  for (size_t i = 0; i < r.in.size(); ++i) {
    if ((i >= 3 && i < first_leaf) || (i >= first_leaf && keys[i - first_leaf + 1])) continue;
    for (size_t a = 0; a + 2 < rank; ++a)
      if (r.in[i].shape[a] != 1) space[a] = r.in[i].shape[a];
  }
  space[rank - 2] = r.in[0].shape[rank - 2];
  space[rank - 1] = r.in[1].shape[rank - 2];
  return space;
}

Problem::Problem(const KernelRequest& r, const AttentionSpec&, size_t leaf, const Dims& whole) {
  space = whole;
  rank = static_cast<int>(space.size());
  batch_rank = rank - 2;
  for (int a = 0; a < batch_rank; ++a) batches *= space[static_cast<size_t>(a)];
  queries = space[space.size() - 2];
  keys = space.back();
  d = r.in[0].shape.back();
  e = r.in[2].shape.back();
  dtype = r.in[0].dtype;
  q = view_of(r.in[0], space);
  k = view_of(r.in[1], space);
  v = view_of(r.in[2], space);
  first_leaf = leaf;
  for (size_t i = leaf; i < r.in.size(); ++i) {
    if (static_cast<int>(r.in[i].shape.size()) == rank) {
      leaves.push_back(view_of(r.in[i], space));
    } else {  // a random key
      View key;
      key.dtype = r.in[i].dtype;
      key.nbytes = size_of(key.dtype);
      key.column = r.in[i].strides[0];
      key.rows = 1, key.columns = 2;
      leaves.push_back(key);
    }
  }
}

Position Problem::position(int64_t batch) const {
  Position p;
  for (int a = batch_rank; a-- > 0;) {
    const int64_t n = space[static_cast<size_t>(a)];
    p.index[a] = batch % n;
    batch /= n;
  }
  return p;
}

int64_t Problem::offset(const View& view, const Position& p) const {
  int64_t at = 0;
  for (int a = 0; a < batch_rank; ++a) at += p.index[a] * view.batch[a];
  return at;
}

template <class T>
bool readable(const View& view) {
  return view.dtype == kTypeOf<T> && (view.column == 1 || view.columns == 1);
}
template bool readable<float>(const View&);
template bool readable<double>(const View&);

template <class T>
void load_rows(const View& view, const void* base, int64_t first, int64_t count, int64_t padded, T* to,
               int64_t to_row) {
  const int64_t n = view.columns;
  for (int64_t r = 0; r < count; ++r, to += to_row) {
    const void* from = view.at(base, (first + r) * view.row);
    if (readable<T>(view))
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    else
      onednn::load_row(view.dtype, from, view.column, to, n);
    if (padded > n) std::fill(to + n, to + padded, T(0));
  }
}

template <class T>
void store_rows(const View& view, void* base, int64_t first, int64_t count, const T* from, int64_t from_row,
                bool add) {
  const int64_t n = view.columns;
  for (int64_t r = 0; r < count; ++r, from += from_row) {
    void* to = view.at(base, (first + r) * view.row);
    T* same = static_cast<T*>(to);
    if (view.dtype != kTypeOf<T> && (view.column == 1 || n == 1)) {
      onednn::store_row(view.dtype, from, to, n);
    } else if (view.dtype != kTypeOf<T>) {
      for (int64_t c = 0; c < n; ++c)
        onednn::store_row(view.dtype, from + c, view.at(to, c * view.column), 1);
    } else if (!add && (view.column == 1 || n == 1)) {
      std::memcpy(same, from, static_cast<size_t>(n) * sizeof(T));
    } else if (add) {
      for (int64_t c = 0; c < n; ++c) same[c * view.column] += from[c];
    } else {
      for (int64_t c = 0; c < n; ++c) same[c * view.column] = from[c];
    }
  }
}
template void load_rows(const View&, const void*, int64_t, int64_t, int64_t, float*, int64_t);
template void load_rows(const View&, const void*, int64_t, int64_t, int64_t, double*, int64_t);
template void store_rows(const View&, void*, int64_t, int64_t, const float*, int64_t, bool);
template void store_rows(const View&, void*, int64_t, int64_t, const double*, int64_t, bool);

}  // namespace fovea::attend
