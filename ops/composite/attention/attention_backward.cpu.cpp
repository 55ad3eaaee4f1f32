// Attention backward in one pass: five products a tile, P and dS made again from the saved log-sum-exp.
//
//                keys of one block: K^T, V^T packed; dK, dV stay in the cache
//   rows  [ S = Q K^T,  dP = dO V^T ]  ->  P, dS  ->  dV += P^T dO,  dK += dS^T Q,  dQ += dS K
//
// A task is one position of the outer batch axes and one part of the keys; the axes over which gradients are
// shared (grouped heads, a bias for the whole batch) are walked inside of it. Each part sums its own dQ;
// these are added in order.
//
// D = sum_j P dP, of the P and dP of a row where one block of keys holds them all, else sum_e O dO. The
// second is as good as the first but where one key has all the weight: dP - D has to be 0 there, and is set
// to 0.
#include <algorithm>
#include <cmath>

#include "framework/backend/cpu/onednn/scratch.h"
#include "ops/composite/attention/gradients_out_internal.h"
#include "ops/composite/attention/score_tiles_internal.h"
#include "ops/composite/attention/spec_internal.h"
#include "ops/shared/blocks.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace attend {
namespace {

constexpr int64_t kRowsOfBlock = 96, kKeysOfBlock = 128;
constexpr int64_t kRowsOfTerms = 16;
constexpr int64_t kTasks = 8;          // parts of the keys are made until there are so many tasks
constexpr double kWorkOfTask = 4e6;    // multiply-adds that make a piece of work worth handing out
constexpr int64_t kLineElements = 16;  // rows of a tile begin a cache line apart from a power of two

int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
class Backward final : public PreparedKernel {
 public:
  Backward(const KernelRequest& r, const AttentionSpec& spec, size_t leaf)
      : p_(r, spec, leaf, space_of(r, spec, leaf)),
        guard_(spec.guard),
        y_(ordered_view(r.in[3], spec.order, p_.space)),
        dy_(ordered_view(r.in[6], spec.order, p_.space)),
        lse_(row_view(r.in[4], p_.space)),
        out_(r, p_, sizeof(T) == 8 ? DType::f64 : DType::f32),
        tiles_(spec, p_, true, out_.wanted_leaves()),
        simd_(simd::attention_kernels<T>()) {
    rest_ = row_view(r.in[5], p_.space);
    if (leaf == 8) dlse_ = row_view(r.in[7], p_.space);
    has_dlse_ = leaf == 8;
    only_key_ = p_.keys == 1 && spec.sink.empty() && !has_dlse_;
    as_rows_ = few_rows<T>(p_);
    padded_d_ = up_to(p_.d, simd_.lanes);
    padded_e_ = up_to(p_.e, simd_.lanes);
    cut();
    // Leaves that multiply the scores would multiply what rounding leaves of a row's sum.
    const bool multiplies = !tiles_.score_leaves().empty() && (!tiles_.is_linear() || tiles_.has_slope());
    centered_ = all_keys() && multiplies && !tiles_.has_sink() && !has_dlse_;
  }

  int64_t workspace_bytes() const override {
    Arena arena(nullptr);
    shared_memory(arena);
    return arena.used();
  }

  void launch(const KernelArgs& args) const override {
    Arena arena(args.workspace);
    const Shared shared = shared_memory(arena);
    const Launch l{args, shared.dq, {args.out, shared.out, args.pool}};
    if (p_.batches == 0 || p_.queries == 0) return out_.clear_results(l.site);
    out_.clear(l.site);
    auto task = [&](int64_t i) { run_task(l, i); };
    if (tasks_ == 1)
      task(0);
    else
      args.pool.parallel_for(tasks_, std::ref(task));
    if (dq_in_parts_) sum_dq(l);
    out_.finish<T>(l.site);
  }

 private:
  struct Shared {
    T* dq = nullptr;  // [batches][parts][Lq][padded D]
    char* out = nullptr;
  };
  struct Launch {
    const KernelArgs& args;
    T* dq;
    GradientsOut::Site site;
  };

  // Which rows and channels stand where.
  struct Memory {
    Memory(const Backward& f, Arena& arena) : tiles(f.tiles_, f.rows_, f.keys_, arena) {
      s_row = up_to(f.keys_, f.simd_.panel) + kLineElements;
      const int64_t tile = f.rows_ * s_row, rows = f.p_.queries;
      s = arena.take<T>(tile);
      dp = arena.take<T>(tile);
      if (!f.tiles_.is_linear() || f.tiles_.has_finite_fill()) p = arena.take<T>(tile);
      if (f.tiles_.has_factor()) factor = arena.take<T>(tile);
      if (f.tiles_.has_sink()) sink = arena.take<T>(f.rows_);
      if (!f.tiles_.factor_leaves().empty()) factor_gradient = arena.take<T>(tile);
      leaf_tiles = arena.take<T>(f.leaf_tiles_ * tile);
      results = arena.take<T*>(f.leaf_tiles_ + 1);
      const int64_t keys = up_to(f.keys_, f.simd_.panel);
      kt = arena.take<T>(keys * f.p_.d);
      vt = arena.take<T>(keys * f.p_.e);
      k = arena.take<T>(f.keys_ * f.padded_d_);
      v = arena.take<T>(f.keys_ * f.padded_e_);
      dk = arena.take<T>(f.dk_in_place_ ? 0 : f.keys_ * f.padded_d_);
      dv = arena.take<T>(f.dv_in_place_ ? 0 : f.keys_ * f.padded_e_);
      q = arena.take<T>(f.q_in_place_ ? 0 : rows * f.padded_d_);
      dy = arena.take<T>(f.dy_in_place_ ? 0 : rows * f.padded_e_);
      dq = arena.take<T>(f.dq_in_parts_ || f.dq_in_place_ ? 0 : rows * f.padded_d_);
      lse = arena.take<T>(rows);
      rest = arena.take<T>(rows);
      term = arena.take<T>(rows);
      dlse = arena.take<T>(rows);
      y = arena.take<T>(kRowsOfTerms * f.p_.e);
    }
    typename ScoreTiles<T>::Scratch tiles;
    int64_t s_row;
    T *s, *dp, *p = nullptr, *factor = nullptr, *factor_gradient = nullptr, *sink = nullptr, *leaf_tiles;
    T** results;
    T *kt, *vt, *k, *v, *dk, *dv, *q, *dy, *dq, *lse, *rest, *term, *dlse, *y;
  };

  // One position of the batch and one part of the keys.
  struct Work {
    GradientsOut::Piece piece;
    simd::Rows<const T> q, dy, k;
    simd::Rows<T> dq, dk, dv;  // in the results themselves where these lie so
    bool k_finite = true;
    bool dq_fresh = true;  // dq holds nothing yet
    bool dk_fresh = true, dv_fresh = true;
  };

  void cut() {
    const int64_t queries = std::max<int64_t>(p_.queries, 1), keys = std::max<int64_t>(p_.keys, 1);
    row_blocks_ = block_count(queries, kRowsOfBlock);
    rows_ = std::min(queries, up_to(block_count(queries, row_blocks_), simd_.strip));
    key_blocks_ = block_count(keys, kKeysOfBlock);
    keys_ = std::min(keys, kKeysOfBlock);
    q_in_place_ = readable<T>(p_.q) && p_.d == padded_d_ && (p_.q.row == p_.d || p_.queries <= 1);
    dy_in_place_ = readable<T>(dy_) && p_.e == padded_e_ && (dy_.row == p_.e || p_.queries <= 1);
    const int64_t outer = std::max<int64_t>(out_.outer(), 1);
    parts_ = std::clamp<int64_t>(block_count(kTasks, outer), 1, key_blocks_);
    blocks_of_part_ = block_count(key_blocks_, parts_);
    parts_ = block_count(key_blocks_, blocks_of_part_);
    dq_in_parts_ = out_.wants(0) && (parts_ > 1 || out_.shared(0));
    dq_in_place_ = !dq_in_parts_ && out_.template in_place<T>(0, padded_d_);
    dk_in_place_ = out_.template in_place<T>(1, padded_d_);
    dv_in_place_ = out_.template in_place<T>(2, padded_e_);
    const double work = 2.5 * static_cast<double>(queries) * static_cast<double>(keys) *
                        static_cast<double>(p_.d + p_.e) * static_cast<double>(out_.inner()) /
                        static_cast<double>(parts_);
    const int64_t items = outer * parts_;
    items_of_task_ = std::max<int64_t>(1, static_cast<int64_t>(kWorkOfTask / std::max(work, 1.0)));
    items_of_task_ = std::max<int64_t>(1, std::min(items_of_task_, items / 16));
    tasks_ = block_count(items, items_of_task_);
    out_.reserve(parts_);
    leaf_tiles_ = static_cast<int64_t>(
        std::max({tiles_.score_leaves().size(), tiles_.factor_leaves().size(), tiles_.sink_leaves().size()}));
    Arena arena(nullptr);
    Memory sizes(*this, arena);
    scratch_bytes_ = arena.used();
  }

  Shared shared_memory(Arena& arena) const {
    Shared shared;
    if (dq_in_parts_)
      shared.dq = arena.take<T>(checked_mul(checked_mul(p_.batches, parts_), p_.queries * padded_d_));
    shared.out = arena.take<char>(out_.bytes());
    return shared;
  }

  void run_task(const Launch& l, int64_t task) const {
    Arena arena(onednn::thread_scratch(scratch_bytes_));
    Memory m(*this, arena);
    const int64_t items = out_.outer() * parts_;
    for (int64_t i = task * items_of_task_; i < std::min(items, (task + 1) * items_of_task_); ++i)
      for (int64_t inner = 0; inner < out_.inner(); ++inner) {
        Work w;
        w.piece = out_.piece(i / parts_, inner, i % parts_);
        w.dq = {m.dq, padded_d_};
        if (dq_in_parts_) w.dq.data = l.dq + (w.piece.batch * parts_ + w.piece.part) * p_.queries * padded_d_;
        if (dq_in_place_) w.dq = out_.template rows<T>(l.site, 0, w.piece.at, 0);
        run_position(l, w, m);
      }
  }

  void run_position(const Launch& l, Work& w, Memory& m) const {
    const void* q = p_.q.at(l.args.in[0], p_.offset(p_.q, w.piece.at));
    w.q = rows_at(p_.q, q, q_in_place_, padded_d_, m.q);
    const void* dy = dy_.at(l.args.in[6], p_.offset(dy_, w.piece.at));
    w.dy = rows_at(dy_, dy, dy_in_place_, padded_e_, m.dy);
    row_terms(l, w, m);
    w.dq_fresh = true;
    const int64_t last = std::min(key_blocks_, (w.piece.part + 1) * blocks_of_part_);
    for (int64_t block = w.piece.part * blocks_of_part_; block < last; ++block) {
      const int64_t key = block * kKeysOfBlock, keys = std::min(kKeysOfBlock, p_.keys - key);
      if (keys <= 0) break;
      run_keys(l, w, m, key, keys);
    }
    // Behind the keys, which may have a share in D.
    if (w.piece.part == 0 && !tiles_.sink_leaves().empty()) sink_gradients(l, w, m);
    if (!out_.wants(0)) return;
    if (w.dq_fresh) clear(w.dq, 0, p_.queries, padded_d_);
    if (!dq_in_parts_ && !dq_in_place_) out_.put(l.site, 0, w.piece.at, 0, p_.queries, w.dq.data, padded_d_);
  }

  static void clear(const simd::Rows<T>& x, int64_t first, int64_t rows, int64_t columns) {
    for (int64_t r = first; r < first + rows; ++r) std::fill_n(x.data + r * x.row, columns, T(0));
  }

  simd::Rows<const T> rows_at(const View& view, const void* base, bool in_place, int64_t padded,
                              T* copy) const {
    if (in_place) return {static_cast<const T*>(base), padded};
    load_rows(view, base, 0, p_.queries, padded, copy, padded);
    return {copy, padded};
  }

  // One block holds every key of a row.
  bool all_keys() const { return key_blocks_ == 1; }

  // lse, and D = sum_e dy y - dlse; all_keys(): -dlse, the rest is summed where the probabilities are.
  void row_terms(const Launch& l, const Work& w, Memory& m) const {
    const T* lse = static_cast<const T*>(lse_.at(l.args.in[4], p_.offset(lse_, w.piece.at)));
    const T* rest = static_cast<const T*>(rest_.at(l.args.in[5], p_.offset(rest_, w.piece.at)));
    const T* dlse =
        has_dlse_ ? static_cast<const T*>(dlse_.at(l.args.in[7], p_.offset(dlse_, w.piece.at))) : nullptr;
    for (int64_t r = 0; r < p_.queries; ++r) {
      m.lse[r] = lse[r * lse_.row];
      m.rest[r] = rest[r * rest_.row];
      m.dlse[r] = dlse == nullptr ? T(0) : dlse[r * dlse_.row];
      m.term[r] = T(0);
    }
    if (!all_keys()) products_of_results(l, w, m);
    for (int64_t r = 0; r < p_.queries; ++r) m.term[r] -= m.dlse[r];
  }

  // term = sum_e dy y. Rounding of factors has its share in it; that of the sum is that of dP then.
  void products_of_results(const Launch& l, const Work& w, Memory& m) const {
    const void* y = y_.at(l.args.in[3], p_.offset(y_, w.piece.at));
    for (int64_t first = 0; first < p_.queries; first += kRowsOfTerms) {
      const int64_t rows = std::min(kRowsOfTerms, p_.queries - first);
      simd::Rows<const T> results{m.y, p_.e};
      if (readable<T>(y_))
        results = {static_cast<const T*>(y) + first * y_.row, y_.row};
      else
        load_rows(y_, y, first, rows, p_.e, m.y, p_.e);
      const simd::Rows<const T> dy{w.dy.data + first * w.dy.row, w.dy.row};
      T* term = m.term + first;
      if (tiles_.has_factor()) simd_.row_dots(rows, p_.e, dy, results, term);
      for (int64_t r = 0; r < rows; ++r) {
        const T *a = results.data + r * results.row, *b = dy.data + r * dy.row;
        if (!tiles_.has_factor()) term[r] = simd_.dot(a, b, p_.e);
        if (std::isnan(term[r])) term[r] = selected_product(b, a);
      }
    }
  }

  // A result of 0 that was selected passes no NaN on.
  T selected_product(const T* dy, const T* y) const {
    double sum = 0;
    for (int64_t e = 0; e < p_.e; ++e)
      if (y[e] != 0) sum += static_cast<double>(y[e]) * static_cast<double>(dy[e]);
    return static_cast<T>(sum);
  }

  RowBlock row_block(const Launch& l, const Work& w, int64_t first) const {
    RowBlock b;
    b.in = l.args.in;
    b.at = w.piece.at;
    b.batch = w.piece.batch;
    b.first = first;
    b.rows = std::min(rows_, p_.queries - first);
    return b;
  }

  const T* share_of_sink(Memory& m, const RowBlock& b) const {
    tiles_.sink(b, m.sink, m.tiles);
    for (int64_t r = 0; r < b.rows; ++r) {
      const double sink = m.sink[r], lse = m.lse[b.first + r], rest = m.rest[b.first + r];
      m.sink[r] = static_cast<T>(std::exp(sink - lse - rest));
    }
    return m.sink;
  }

  void sink_gradients(const Launch& l, const Work& w, Memory& m) const {
    for (int64_t first = 0; first < p_.queries; first += rows_) {
      const RowBlock b = row_block(l, w, first);
      const T* share = share_of_sink(m, b);
      for (int64_t r = 0; r < b.rows; ++r) m.s[r] = -share[r] * m.term[first + r];
      for (size_t i = 0; i < tiles_.sink_leaves().size(); ++i)
        m.results[i] = m.leaf_tiles + static_cast<int64_t>(i) * rows_ * m.s_row;
      tiles_.sink_derivative(b, m.s, m.results, m.tiles);
      for (size_t i = 0; i < tiles_.sink_leaves().size(); ++i)
        add_leaf(l, w, b, tiles_.sink_leaves()[i], 0, 1, m.results[i], 1);
    }
  }

  void add_leaf(const Launch& l, const Work& w, const RowBlock& b, int64_t operand, int64_t key, int64_t keys,
                const T* tile, int64_t row) const {
    out_.add_leaf(l.site, w.piece, operand - 1, {b.first, b.rows, key, keys}, tile, row);
  }

  void run_keys(const Launch& l, Work& w, Memory& m, int64_t key, int64_t keys) const {
    w.k_finite = load_keys(l, w, m, key, keys);
    w.dk = dk_in_place_ ? out_.template rows<T>(l.site, 1, w.piece.at, key) : simd::Rows<T>{m.dk, padded_d_};
    w.dv = dv_in_place_ ? out_.template rows<T>(l.site, 2, w.piece.at, key) : simd::Rows<T>{m.dv, padded_e_};
    w.dk_fresh = w.dv_fresh = true;
    // The first block of keys sets dq, so that no block of rows may be passed over.
    const bool sets_dq = w.dq_fresh;
    for (int64_t first = 0; first < p_.queries; first += rows_)
      if (!visit(l, w, m, first, key, keys) && sets_dq && out_.wants(0))
        clear(w.dq, first, std::min(rows_, p_.queries - first), padded_d_);
    w.dq_fresh = false;
    if (out_.wants(1) && w.dk_fresh) clear(w.dk, 0, keys, padded_d_);
    if (out_.wants(2) && w.dv_fresh) clear(w.dv, 0, keys, padded_e_);
    if (out_.wants(1) && !dk_in_place_) out_.put(l.site, 1, w.piece.at, key, keys, m.dk, padded_d_);
    if (out_.wants(2) && !dv_in_place_) out_.put(l.site, 2, w.piece.at, key, keys, m.dv, padded_e_);
  }

  bool load_keys(const Launch& l, Work& w, Memory& m, int64_t key, int64_t keys) const {
    const void* k = p_.k.at(l.args.in[1], p_.offset(p_.k, w.piece.at));
    const void* v = p_.v.at(l.args.in[2], p_.offset(p_.v, w.piece.at));
    const bool k_readable = readable<T>(p_.k), v_readable = readable<T>(p_.v);
    bool finite;
    if (k_readable && p_.d == padded_d_) {
      w.k = {static_cast<const T*>(k) + key * p_.k.row, p_.k.row};
    } else {
      load_rows(p_.k, k, key, keys, padded_d_, m.k, padded_d_);
      w.k = {m.k, padded_d_};
    }
    finite = simd_.pack(w.k.data, w.k.row, 1, keys, p_.d, m.kt);
    if (v_readable) {
      simd_.pack(static_cast<const T*>(v) + key * p_.v.row, p_.v.row, 1, keys, p_.e, m.vt);
    } else {
      load_rows(p_.v, v, key, keys, padded_e_, m.v, padded_e_);
      simd_.pack(m.v, padded_e_, 1, keys, p_.e, m.vt);
    }
    return finite;
  }

  static constexpr double least_exponent() { return sizeof(T) == 8 ? 746 : 104; }

  // Some row's probability of a key with this score is not exactly 0.
  bool counts(double score, const Memory& m, const RowBlock& b) const {
    for (int64_t r = 0; r < b.rows; ++r)
      if (!(score - static_cast<double>(m.lse[b.first + r]) < -least_exponent())) return true;
    return false;
  }

  // False where no key of the block counts for these rows.
  bool visit(const Launch& l, Work& w, Memory& m, int64_t first, int64_t key, int64_t keys) const {
    const RowBlock b = row_block(l, w, first);
    const bool exact = tiles_.has_finite_fill() && counts(tiles_.fill(), m, b);
    const TilePlan plan = tiles_.plan(b, key, keys, exact, m.tiles);
    if (plan.kind == TileClass::skip) return false;
    if (plan.kind == TileClass::constant && !counts(plan.constant, m, b)) return false;
    const bool direct = tiles_.direct(exact);
    const simd::KeyRanges computed = direct ? plan.ranges : simd::KeyRanges{};
    const simd::Rows<const T> q{w.q.data + first * w.q.row, w.q.row};
    const simd::Rows<const T> dy{w.dy.data + first * w.dy.row, w.dy.row};
    if (as_rows_)  // the forward pass did so, and p is to be what it was there
      simd_.scores_of_rows(b.rows, keys, p_.d, q, w.k, {m.s, m.s_row});
    else
      simd_.scores(computed, b.rows, keys, p_.d, q, m.kt, {m.s, m.s_row});
    simd_.scores(plan.ranges, b.rows, keys, p_.e, dy, m.vt, {m.dp, m.s_row});
    T* p = direct ? m.s : m.p;
    if (!direct) tiles_.scores(b, key, keys, exact, m.s, p, m.s_row, m.tiles);
    simd::GradientRows<T> state{m.lse + first, m.rest + first, m.term + first, {}};
    if (tiles_.has_factor()) {
      tiles_.factor(b, key, keys, m.factor, m.s_row, m.tiles);
      state.factor = {m.factor, m.s_row};
    }
    if (m.factor_gradient != nullptr) state.factor_gradient = {m.factor_gradient, m.s_row};
    state.nan_is_zero = guard_ == "nan";
    state.empty_is_zero = guard_ == "empty";
    state.all_keys = all_keys();
    if (all_keys() && tiles_.has_sink()) state.others = share_of_sink(m, b);
    state.certain = m.dlse + first;
    state.centered = centered_;
    if (direct && tiles_.score_leaves().empty()) state.scale = tiles_.scale(false);
    simd_.gradient(plan.ranges, b.rows, keys, tiles_.scale(exact), tiles_.bias(b, key, exact), {p, m.s_row},
                   {m.dp, m.s_row}, state);
    if (only_key_) clear_scores(m, b);
    if (out_.wants(2))
      simd_.transposed(plan.ranges, b.rows, keys, {p, m.s_row}, dy, padded_e_, w.dv_fresh, w.dv);
    leaf_gradients(l, w, m, b, key, keys, exact);
    if (out_.wants(1))
      simd_.transposed(plan.ranges, b.rows, keys, {m.dp, m.s_row}, q, padded_d_, w.dk_fresh, w.dk);
    w.dk_fresh = w.dv_fresh = false;
    if (out_.wants(0)) add_dq(plan.ranges, w, m, b, keys);
    return true;
  }

  // The probability of the only key is 1 whatever its score: what dP and D differ by is rounding.
  void clear_scores(Memory& m, const RowBlock& b) const {
    for (int64_t r = 0; r < b.rows; ++r)
      if (std::isfinite(m.dp[r * m.s_row])) m.dp[r * m.s_row] = 0;
  }

  // dp, the gradient of the score, becomes that of s; leaves get theirs on the way.
  void leaf_gradients(const Launch& l, const Work& w, Memory& m, const RowBlock& b, int64_t key, int64_t keys,
                      bool exact) const {
    const int64_t tile = rows_ * m.s_row;
    const auto& factor_leaves = tiles_.factor_leaves();
    if (!factor_leaves.empty()) {
      for (size_t i = 0; i < factor_leaves.size(); ++i)
        m.results[i] = m.leaf_tiles + static_cast<int64_t>(i) * tile;
      tiles_.factor_derivative(b, key, keys, m.factor_gradient, m.s_row, m.results, m.tiles);
      for (size_t i = 0; i < factor_leaves.size(); ++i)
        add_leaf(l, w, b, factor_leaves[i], key, keys, m.results[i], m.s_row);
    }
    const auto& leaves = tiles_.score_leaves();
    if (tiles_.direct(exact)) {
      for (int64_t leaf : leaves) {
        const T* gradient = m.dp;
        if (tiles_.has_slope()) {
          tiles_.slope_gradient(b, key, keys, m.dp, m.s_row, m.leaf_tiles);
          gradient = m.leaf_tiles;
        }
        add_leaf(l, w, b, leaf, key, keys, gradient, m.s_row);
      }
      if (!leaves.empty())  // which take the gradient of the scaled scores
        simd_.scale(b.rows, keys, {m.dp, m.s_row}, tiles_.scale(false), nullptr, false, {m.dp, m.s_row});
      return;
    }
    // Where a key holds NaN, a score without gradient must not pass it on.
    T* ds = w.k_finite ? m.dp : m.p;
    m.results[0] = ds;
    for (size_t i = 0; i < leaves.size(); ++i)
      m.results[i + 1] = m.leaf_tiles + static_cast<int64_t>(i) * tile;
    tiles_.derivative(b, key, keys, exact, m.s, m.s_row, m.dp, m.results, m.tiles);
    if (!w.k_finite) clear_absent(m, b, keys, leaves.size());
    for (size_t i = 0; i < leaves.size(); ++i)
      add_leaf(l, w, b, leaves[i], key, keys, m.results[i + 1], m.s_row);
  }

  void clear_absent(Memory& m, const RowBlock& b, int64_t keys, size_t leaves) const {
    for (int64_t r = 0; r < b.rows; ++r)
      for (int64_t j = 0; j < keys; ++j) {
        const int64_t at = r * m.s_row + j;
        const bool absent = m.dp[at] == 0;
        m.dp[at] = absent ? T(0) : m.p[at];
        for (size_t i = 0; absent && i < leaves; ++i) m.results[i + 1][at] = 0;
      }
  }

  void add_dq(simd::KeyRanges ranges, const Work& w, Memory& m, const RowBlock& b, int64_t keys) const {
    const simd::Rows<T> dq{w.dq.data + b.first * w.dq.row, w.dq.row};
    if (w.k_finite)
      return simd_.values(ranges, b.rows, keys, {m.dp, m.s_row}, w.k, padded_d_, w.dq_fresh, nullptr, dq);
    if (w.dq_fresh) clear(dq, 0, b.rows, padded_d_);
    for (int64_t r = 0; r < b.rows; ++r)
      for (int64_t j = 0; j < keys; ++j) {
        const T ds = m.dp[r * m.s_row + j];
        for (int64_t c = 0; ds != 0 && c < p_.d; ++c)
          dq.data[r * dq.row + c] += ds * w.k.data[j * w.k.row + c];
      }
  }

  // dq of one position of its own batch axes: all parts of all positions that share it, in order.
  void sum_dq(const Launch& l) const {
    const int64_t heads = out_.heads(0), chunks = block_count(p_.queries, rows_);
    auto sum = [&](int64_t i) {
      const int64_t first = i % chunks * rows_, rows = std::min(rows_, p_.queries - first);
      Arena arena(onednn::thread_scratch(rows_ * padded_d_ * static_cast<int64_t>(sizeof(T))));
      T* total = arena.take<T>(rows_ * padded_d_);
      std::fill(total, total + rows * padded_d_, T(0));
      out_.each_sharing(0, i / chunks, [&](int64_t batch) {
        for (int64_t part = 0; part < parts_; ++part) {
          const T* x = l.dq + ((batch * parts_ + part) * p_.queries + first) * padded_d_;
          simd_.scale(1, rows * padded_d_, {x, 0}, 1, nullptr, true, {total, 0});
        }
      });
      out_.put(l.site, 0, out_.head_position(0, i / chunks), first, rows, total, padded_d_);
    };
    l.args.pool.parallel_for(heads * chunks, std::ref(sum));
  }

  const Problem p_;
  const std::string guard_;
  const View y_, dy_, lse_;
  View rest_, dlse_;
  bool has_dlse_ = false;
  bool only_key_ = false;  // no sink either
  bool centered_ = false;
  bool as_rows_ = false;  // scores come of K as it is
  GradientsOut out_;
  const ScoreTiles<T> tiles_;
  const simd::AttentionKernels<T>& simd_;
  int64_t padded_d_ = 0, padded_e_ = 0;
  int64_t rows_ = 1, keys_ = 1, row_blocks_ = 1, key_blocks_ = 1, parts_ = 1, blocks_of_part_ = 1;
  int64_t items_of_task_ = 1, tasks_ = 1, scratch_bytes_ = 0, leaf_tiles_ = 0;
  bool q_in_place_ = false, dy_in_place_ = false, dq_in_parts_ = false;
  bool dq_in_place_ = false, dk_in_place_ = false, dv_in_place_ = false;
};

}  // namespace
}  // namespace attend

FOVEA_KERNEL(cpu, attention_backward, tiles) {
  kernel.strided().prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const AttentionSpec spec = attend::spec_of(r.attrs);
    const size_t leaf = r.attrs.flag("lse_gradient") ? 8 : 7;
    if (r.in[0].dtype == DType::f64) return std::make_unique<attend::Backward<double>>(r, spec, leaf);
    return std::make_unique<attend::Backward<float>>(r, spec, leaf);
  });
}

}  // namespace fovea
