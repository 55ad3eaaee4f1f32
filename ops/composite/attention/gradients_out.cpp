#include "ops/composite/attention/gradients_out_internal.h"

#include <algorithm>
#include <cstring>

#include "ops/composite/attention/spec_internal.h"
#include "ops/shared/blocks.h"

namespace fovea::attend {
namespace {

constexpr int64_t kBytesOfBlock = 1 << 20;

void clear_bytes(char* p, int64_t bytes, ThreadPool& pool) {
  for_blocks(pool, Blocks(bytes, kBytesOfBlock), [&](int64_t, int64_t begin, int64_t end) {
    std::memset(p + begin, 0, static_cast<size_t>(end - begin));
  });
}

// Row-major strides of `view`'s sizes in type t.
View dense(const View& view, const Dims& batch, DType t) {
  View v = view;
  v.dtype = t;
  v.nbytes = size_of(t);
  v.column = v.columns == 1 ? 0 : 1;
  v.row = v.rows == 1 ? 0 : v.columns;
  int64_t stride = v.rows * v.columns;
  for (size_t a = batch.size(); a-- > 0;) {
    v.batch[a] = batch[a] == 1 ? 0 : stride;
    stride *= batch[a];
  }
  return v;
}

}  // namespace

View row_view(const OperandSpec& operand, const Dims& space) {
  OperandSpec matrix = operand;
  matrix.shape.push_back(1);
  matrix.strides.push_back(1);
  return view_of(matrix, space);
}

GradientsOut::GradientsOut(const KernelRequest& r, const Problem& p, DType compute)
    : space_(p.space), batch_rank_(p.space.size() - 2), compute_(compute), of_(3 + p.leaves.size(), -1) {
  const Ints& wanted = r.attrs.ints("wanted");
  for (size_t i = 0; i < wanted.size(); ++i) add_output(r, static_cast<size_t>(wanted[i]), i);
  split_axes();
  reserve(1);
}

void GradientsOut::add_output(const KernelRequest& r, size_t operand, size_t output) {
  static const char* const kOrders[] = {"q_order", "k_order", "v_order"};
  Out out;
  out.output = output;
  const OperandSpec& spec = r.out[output];
  out.view = operand < 3 ? ordered_view(spec, r.attrs.ints(kOrders[operand]), space_) : view_of(spec, space_);
  out.size = spec.size();
  for (size_t a = 0; a < batch_rank_; ++a) {
    const Ints order = operand < 3 ? r.attrs.ints(kOrders[operand]) : Ints();
    size_t from = a;
    if (!order.empty())
      from =
          static_cast<size_t>(std::find(order.begin(), order.end(), static_cast<int64_t>(a)) - order.begin());
    out.batch.push_back(spec.shape[from]);
    out.shared = out.shared || (spec.shape[from] == 1 && space_[a] > 1);
  }
  if (operand >= 3) {
    out.summed = out.view.rows == 1 || out.view.columns == 1;
    out.shared = !out.summed;
  }
  out.staged = !out.summed && operand != 0 && out.shared && out.view.dtype != compute_;
  out.target = out.staged ? dense(out.view, out.batch, compute_) : out.view;
  of_[operand] = static_cast<int64_t>(outs_.size());
  outs_.push_back(out);
}

// An axis is inner where several of its positions add to one element.
void GradientsOut::split_axes() {
  for (size_t a = 0; a < batch_rank_; ++a) {
    bool is_inner = false;
    for (size_t operand = 1; operand < of_.size(); ++operand)
      is_inner =
          is_inner || (wants(operand) && !at(operand).summed && at(operand).batch[a] == 1 && space_[a] > 1);
    (is_inner ? inner_axes_ : outer_axes_).push_back(a);
    (is_inner ? inner_ : outer_) *= space_[a];
  }
}

void GradientsOut::reserve(int64_t parts) {
  parts_ = parts;
  Arena arena(nullptr);
  int64_t batches = 1;
  for (size_t a = 0; a < batch_rank_; ++a) batches *= space_[a];
  for (Out& out : outs_) {
    out.offset = arena.used();
    if (out.staged) arena.take<char>(checked_mul(out.size, size_of(compute_)));
    if (out.summed)
      arena.take<double>(checked_mul(checked_mul(batches, parts), out.view.rows * out.view.columns));
  }
  bytes_ = arena.used();
}

std::vector<int64_t> GradientsOut::wanted_leaves() const {
  std::vector<int64_t> out;
  for (size_t i = 3; i < of_.size(); ++i)
    if (wants(i)) out.push_back(static_cast<int64_t>(i) - 3);
  return out;
}

GradientsOut::Piece GradientsOut::piece(int64_t outer, int64_t inner, int64_t part) const {
  Piece p;
  p.part = part;
  const auto spread = [&](const std::vector<size_t>& axes, int64_t number) {
    for (size_t i = axes.size(); i-- > 0;) {
      p.at.index[axes[i]] = number % space_[axes[i]];
      number /= space_[axes[i]];
    }
  };
  spread(outer_axes_, outer);
  spread(inner_axes_, inner);
  for (size_t a = 0; a < batch_rank_; ++a) p.batch = p.batch * space_[a] + p.at.index[a];
  return p;
}

int64_t GradientsOut::offset(const View& view, const Position& p) const {
  int64_t at = 0;
  for (size_t a = 0; a < batch_rank_; ++a) at += p.index[a] * view.batch[a];
  return at;
}

void GradientsOut::clear(const Site& site) const {
  for (size_t operand = 1; operand < of_.size(); ++operand) {
    if (!wants(operand)) continue;
    const Out& out = at(operand);
    if (out.shared)
      clear_bytes(static_cast<char*>(target(site, out)), out.size * out.target.nbytes, site.pool);
  }
  for (size_t i = 0; i < outs_.size(); ++i)
    if (outs_[i].summed) {
      const int64_t end = i + 1 < outs_.size() ? outs_[i + 1].offset : bytes_;
      clear_bytes(site.memory + outs_[i].offset, end - outs_[i].offset, site.pool);
    }
}

void GradientsOut::clear_results(const Site& site) const {
  for (const Out& out : outs_)
    clear_bytes(static_cast<char*>(site.out[out.output]), out.size * out.view.nbytes, site.pool);
}

template <class T>
void GradientsOut::put(const Site& site, size_t operand, const Position& p, int64_t first, int64_t rows,
                       const T* from, int64_t from_row) const {
  const Out& out = at(operand);
  const View& to = out.target;
  const auto& simd = simd::attention_kernels<T>();
  const bool add = out.shared && operand != 0;
  void* base = to.at(target(site, out), offset(to, p));
  if (readable<T>(to))
    return simd.scale(rows, to.columns, {from, from_row}, 1, nullptr, add,
                      {static_cast<T*>(base) + first * to.row, to.row});
  store_rows(to, base, first, rows, from, from_row, add);
}

template <class T>
void GradientsOut::add_leaf(const Site& site, const Piece& piece, int64_t leaf, const Box& box, const T* tile,
                            int64_t row) const {
  const Out& out = at(static_cast<size_t>(leaf) + 3);
  const View& view = out.target;
  if (!out.summed) {
    T* to = static_cast<T*>(target(site, out)) + offset(view, piece.at) + box.row * view.row + box.key;
    simd::attention_kernels<T>().scale(box.rows, box.keys, {tile, row}, 1, nullptr, true, {to, view.row});
    return;
  }
  double* sums = reinterpret_cast<double*>(site.memory + out.offset) +
                 (piece.batch * parts_ + piece.part) * view.rows * view.columns;
  for (int64_t r = 0; r < box.rows; ++r) {
    const T* x = tile + r * row;
    if (view.columns > 1) {
      double* to = sums + box.key;
      for (int64_t j = 0; j < box.keys; ++j) to[j] += static_cast<double>(x[j]);
    } else {
      double sum = 0;
      for (int64_t j = 0; j < box.keys; ++j) sum += static_cast<double>(x[j]);
      sums[view.rows > 1 ? box.row + r : 0] += sum;
    }
  }
}

int64_t GradientsOut::heads(size_t operand) const {
  int64_t n = 1;
  for (int64_t b : at(operand).batch) n *= b;
  return n;
}

Position GradientsOut::head_position(size_t operand, int64_t head) const {
  Position p;
  const Dims& batch = at(operand).batch;
  for (size_t a = batch_rank_; a-- > 0;) {
    p.index[a] = head % batch[a];
    head /= batch[a];
  }
  return p;
}

int64_t GradientsOut::sharing(size_t operand) const {
  int64_t n = 1;
  for (size_t a = 0; a < batch_rank_; ++a)
    if (at(operand).batch[a] == 1) n *= space_[a];
  return n;
}

int64_t GradientsOut::sharing_batch(size_t operand, Position p, int64_t i) const {
  for (size_t a = batch_rank_; a-- > 0;) {
    if (at(operand).batch[a] != 1) continue;
    p.index[a] = i % space_[a];
    i /= space_[a];
  }
  int64_t batch = 0;
  for (size_t a = 0; a < batch_rank_; ++a) batch = batch * space_[a] + p.index[a];
  return batch;
}

// From the copy in the computing type to the result.
template <class T>
void GradientsOut::convert(const Site& site, size_t operand) const {
  const Out& out = at(operand);
  auto head = [&](int64_t h) {
    const Position p = head_position(operand, h);
    const T* from = static_cast<const T*>(target(site, out)) + offset(out.target, p);
    store_rows(out.view, out.view.at(site.out[out.output], offset(out.view, p)), 0, out.view.rows, from,
               out.view.columns);
  };
  site.pool.parallel_for(heads(operand), std::ref(head));
}

template <class T>
void GradientsOut::add_up(const Site& site, size_t operand) const {
  const Out& out = at(operand);
  const View& view = out.view;
  const auto* sums = reinterpret_cast<const double*>(site.memory + out.offset);
  auto head = [&](int64_t h) {
    const Position p = head_position(operand, h);
    const int64_t size = view.rows * view.columns;
    for (int64_t i = 0; i < size; ++i) {
      double total = 0;
      each_sharing(operand, h, [&](int64_t batch) {
        for (int64_t part = 0; part < parts_; ++part) total += sums[(batch * parts_ + part) * size + i];
      });
      View one = view;
      one.rows = one.columns = 1;
      const T value = static_cast<T>(total);
      const int64_t at_element = offset(view, p) + (view.rows > 1 ? i * view.row : i * view.column);
      store_rows(one, view.at(site.out[out.output], at_element), 0, 1, &value, 1);
    }
  };
  site.pool.parallel_for(heads(operand), std::ref(head));
}

template <class T>
void GradientsOut::finish(const Site& site) const {
  for (size_t operand = 1; operand < of_.size(); ++operand) {
    if (!wants(operand)) continue;
    if (at(operand).staged) convert<T>(site, operand);
    if (at(operand).summed) add_up<T>(site, operand);
  }
}

#define FOVEA_ATTENTION_GRADIENTS(T)                                                                         \
  template void GradientsOut::put(const Site&, size_t, const Position&, int64_t, int64_t, const T*, int64_t) \
      const;                                                                                                 \
  template void GradientsOut::add_leaf(const Site&, const Piece&, int64_t, const Box&, const T*, int64_t)    \
      const;                                                                                                 \
  template void GradientsOut::finish<T>(const Site&) const;
FOVEA_ATTENTION_GRADIENTS(float)
FOVEA_ATTENTION_GRADIENTS(double)
#undef FOVEA_ATTENTION_GRADIENTS

}  // namespace fovea::attend
