// Attention forward: blocks of rows against blocks of keys, with a running softmax.
//
//             keys ->  packed K^T panels      | pack: once a (batch, head), shared by its blocks of rows
//   rows  [ S = Q K^T | S | S ... ]           | score program, running maximum and sum
//    |    [ O = correction O + P V ]          | in the cache throughout
#include <algorithm>
#include <cmath>

#include "framework/backend/cpu/onednn/scratch.h"
#include "ops/composite/attention/score_tiles_internal.h"
#include "ops/composite/attention/spec_internal.h"
#include "ops/shared/blocks.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace attend {
namespace {

constexpr int64_t kRowsOfBlock = 96, kRowsOfOneBlock = 144, kKeysOfBlock = kMostKeysOfTile;
constexpr int64_t kManyHeads = 32;
constexpr int64_t kFewItems = 8, kMostParts = 8, kKeysOfPart = 2048;  // few blocks of rows split the keys
constexpr int64_t kChunk = 512;                                       // keys packed by one piece of work
constexpr double kWorkOfTask = 4e6;    // multiply-adds that make a piece of work worth handing out
constexpr int64_t kLineElements = 16;  // rows of a tile begin a cache line apart from a power of two

int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Sizes of the heads of one operand (its own batch axes), numbered in row-major order.
struct Heads {
  int64_t count = 1;
  int64_t stride[kMaxRank] = {};  // by batch axis of the space; 0 where broadcast
  Heads(const Problem& p, const Dims& shape) {
    for (int a = p.batch_rank; a-- > 0;) {
      const int64_t n = shape[static_cast<size_t>(a)];
      stride[a] = n == 1 ? 0 : count;
      count *= n;
    }
  }
  int64_t number(const Problem& p, const Position& at) const {
    int64_t n = 0;
    for (int a = 0; a < p.batch_rank; ++a) n += at.index[a] * stride[a];
    return n;
  }
  // A position of the space with head `n`.
  Position position(const Problem& p, int64_t n) const {
    Position at;
    for (int a = 0; a < p.batch_rank; ++a)
      if (stride[a] != 0) at.index[a] = n / stride[a] % p.space[static_cast<size_t>(a)];
    return at;
  }
};

template <class T>
class Forward final : public PreparedKernel {
 public:
  Forward(const KernelRequest& request, const AttentionSpec& spec)
      : p_(request, spec, 3, space_of(request, spec, 3)),
        guard_(spec.guard),
        y_(ordered_view(request.out[0], spec.order, p_.space)),
        tiles_(spec, p_, false, {}),
        simd_(simd::attention_kernels<T>()),
        k_heads_(p_, request.in[1].shape),
        v_heads_(p_, request.in[2].shape) {
    padded_e_ = up_to(p_.e, simd_.lanes);
    padded_keys_ = up_to(p_.keys, simd_.panel);
    k_in_place_ = few_rows<T>(p_);
    v_in_place_ = readable<T>(p_.v) && p_.e == padded_e_ &&
                  (p_.v.row == p_.e || p_.keys <= 1 || p_.queries <= kFewRows);
    cut();
  }

  int64_t workspace_bytes() const override {
    Arena arena(nullptr);
    pack_memory(arena);
    parts_memory(arena);
    return arena.used();
  }

  void launch(const KernelArgs& args) const override {
    if (p_.batches == 0 || p_.queries == 0) return;
    Arena arena(args.workspace);
    Packed packed = pack_memory(arena);
    packed.parts = parts_memory(arena);
    if (!pack_in_task_ && !(k_in_place_ && v_in_place_)) {
      const int64_t chunks = block_count(p_.keys, kChunk);
      auto pack = [&](int64_t i) { pack_shared(args, packed, i, chunks); };
      const int64_t items = std::max(k_heads_.count, v_heads_.count) * chunks;
      if (items > 0) args.pool.parallel_for(items, std::ref(pack));
    }
    auto task = [&](int64_t i) { run_task(args, packed, i); };
    if (tasks_ == 1)
      task(0);
    else
      args.pool.parallel_for(tasks_, std::ref(task));
    if (parts_ > 1) {
      auto join = [&](int64_t i) { join_parts(args, packed.parts, i); };
      args.pool.parallel_for(p_.batches * blocks_, std::ref(join));
    }
  }

 private:
  // Sums of one block of rows over one part of the keys.
  struct Part {
    T *o, *top;
    double* total;
  };
  struct Packed {
    T *k = nullptr, *v = nullptr;
    char* parts = nullptr;
  };
  // What a task works with.
  struct Memory {
    Memory(const Forward& f, Arena& arena) : tiles(f.tiles_, f.rows_, f.keys_of_block(), arena) {
      s_row = up_to(f.keys_of_block(), f.simd_.panel) + kLineElements;
      s = arena.take<T>(f.rows_ * s_row);
      o = arena.take<T>(f.rows_ * f.padded_e_);
      top = arena.take<T>(f.rows_);
      correction = arena.take<T>(f.rows_);
      sink = arena.take<T>(f.rows_);
      total = arena.take<double>(f.rows_);
      if (f.tiles_.has_factor()) factor = arena.take<T>(f.rows_ * s_row);
      if (!readable<T>(f.p_.q)) q = arena.take<T>(f.rows_ * f.p_.d);
      if (f.pack_in_task_) {
        if (!f.k_in_place_) packed.k = arena.take<T>(f.padded_keys_ * f.p_.d);
        if (!f.v_in_place_) packed.v = arena.take<T>(f.p_.keys * f.padded_e_);
      }
    }
    typename ScoreTiles<T>::Scratch tiles;
    int64_t s_row;
    T *s, *o, *top, *correction, *sink, *factor = nullptr, *q = nullptr;
    double* total;
    bool fresh = true;  // o holds nothing yet
    Packed packed;
  };
  // One block of rows with its operands.
  struct Block {
    RowBlock rows;
    simd::Rows<const T> q, v;
    const T* k = nullptr;         // panels
    simd::Rows<const T> plain_k;  // or rows as they are
    int64_t key_begin = 0, key_end = 0;
  };

  int64_t keys_of_block() const { return std::min(std::max<int64_t>(p_.keys, 1), kKeysOfBlock); }

  void cut() {
    const int64_t target = p_.queries <= kRowsOfOneBlock ? p_.queries : kRowsOfBlock;
    blocks_ = std::max<int64_t>(1, block_count(p_.queries, std::max<int64_t>(target, 1)));
    rows_ = std::min(std::max<int64_t>(p_.queries, 1),
                     up_to(block_count(std::max<int64_t>(p_.queries, 1), blocks_), simd_.strip));
    blocks_ = std::max<int64_t>(1, block_count(p_.queries, rows_));
    const int64_t rows = p_.batches * blocks_;
    parts_ = rows >= kFewItems ? 1 : std::clamp<int64_t>(p_.keys / kKeysOfPart, 1, kMostParts);
    keys_of_part_ = up_to(block_count(std::max<int64_t>(p_.keys, 1), parts_), kKeysOfBlock);
    parts_ = block_count(std::max<int64_t>(p_.keys, 1), keys_of_part_);
    const int64_t items = rows * parts_;
    // With many heads a task takes whole ones, so that packed keys stay in its cache and memory stays small.
    pack_in_task_ = (blocks_ == 1 || p_.batches >= kManyHeads) && k_heads_.count == p_.batches &&
                    v_heads_.count == p_.batches;
    const double work = static_cast<double>(rows_) * static_cast<double>(p_.keys) *
                        static_cast<double>(p_.d + p_.e) / static_cast<double>(parts_);
    items_of_task_ = std::max<int64_t>(1, static_cast<int64_t>(kWorkOfTask / std::max(work, 1.0)));
    items_of_task_ = std::max<int64_t>(1, std::min(items_of_task_, items / 16));
    if (pack_in_task_) items_of_task_ = up_to(items_of_task_, blocks_);
    tasks_ = block_count(items, items_of_task_);
    Arena arena(nullptr);
    Memory sizes(*this, arena);
    scratch_bytes_ = arena.used();
  }

  Packed pack_memory(Arena& arena) const {
    Packed packed;
    if (pack_in_task_ || p_.batches == 0) return packed;
    if (!k_in_place_) packed.k = arena.take<T>(checked_mul(k_heads_.count, padded_keys_ * p_.d));
    if (!v_in_place_) packed.v = arena.take<T>(checked_mul(v_heads_.count, p_.keys * padded_e_));
    return packed;
  }

  void pack_keys(const KernelArgs& args, const Position& at, int64_t first, int64_t last, T* to,
                 T* rows) const {
    const void* base = p_.k.at(args.in[1], p_.offset(p_.k, at));
    if (p_.k.dtype == type()) {
      const T* from = static_cast<const T*>(base) + first * p_.k.row;
      simd_.pack(from, p_.k.row, p_.k.column, last - first, p_.d, to + first * p_.d);
      return;
    }
    for (int64_t j = first; j < last; j += simd_.panel) {  // half types: a panel at a time
      const int64_t n = std::min(simd_.panel, last - j);
      load_rows(p_.k, base, j, n, p_.d, rows, p_.d);
      simd_.pack(rows, p_.d, 1, n, p_.d, to + j * p_.d);
    }
  }

  void pack_values(const KernelArgs& args, const Position& at, int64_t first, int64_t last, T* to) const {
    load_rows(p_.v, p_.v.at(args.in[2], p_.offset(p_.v, at)), first, last - first, padded_e_,
              to + first * padded_e_, padded_e_);
  }

  static constexpr DType type() { return sizeof(T) == 8 ? DType::f64 : DType::f32; }

  T* conversion_rows(Arena& arena) const {
    return p_.k.dtype == type() ? nullptr : arena.take<T>(simd_.panel * p_.d);
  }

  void pack_shared(const KernelArgs& args, const Packed& packed, int64_t i, int64_t chunks) const {
    const int64_t head = i / chunks, first = i % chunks * kChunk, last = std::min(p_.keys, first + kChunk);
    Arena size(nullptr);
    conversion_rows(size);
    Arena arena(onednn::thread_scratch(size.used()));
    T* rows = conversion_rows(arena);
    if (!k_in_place_ && head < k_heads_.count)
      pack_keys(args, k_heads_.position(p_, head), first, last, packed.k + head * padded_keys_ * p_.d, rows);
    if (packed.v != nullptr && head < v_heads_.count)
      pack_values(args, v_heads_.position(p_, head), first, last, packed.v + head * p_.keys * padded_e_);
  }

  void run_task(const KernelArgs& args, const Packed& shared, int64_t task) const {
    Arena size(nullptr);
    conversion_rows(size);
    Arena arena(onednn::thread_scratch(scratch_bytes_ + size.used()));
    Memory memory(*this, arena);
    T* rows = conversion_rows(arena);
    const int64_t items = p_.batches * blocks_ * parts_;
    for (int64_t i = task * items_of_task_; i < std::min(items, (task + 1) * items_of_task_); ++i) {
      Block b;
      b.rows = row_block(args, i / parts_);
      b.key_begin = i % parts_ * keys_of_part_;
      b.key_end = std::min(p_.keys, b.key_begin + keys_of_part_);
      if (pack_in_task_ && (b.rows.first == 0 || parts_ > 1)) {
        if (!k_in_place_) pack_keys(args, b.rows.at, b.key_begin, b.key_end, memory.packed.k, rows);
        if (!v_in_place_) pack_values(args, b.rows.at, b.key_begin, b.key_end, memory.packed.v);
      }
      const Packed& packed = pack_in_task_ ? memory.packed : shared;
      const int64_t k_head = pack_in_task_ ? 0 : k_heads_.number(p_, b.rows.at);
      const int64_t v_head = pack_in_task_ ? 0 : v_heads_.number(p_, b.rows.at);
      if (k_in_place_)
        b.plain_k = {static_cast<const T*>(args.in[1]) + p_.offset(p_.k, b.rows.at), p_.k.row};
      else
        b.k = packed.k + k_head * padded_keys_ * p_.d;
      if (v_in_place_)
        b.v = {static_cast<const T*>(args.in[2]) + p_.offset(p_.v, b.rows.at), p_.v.row};
      else
        b.v = {packed.v + v_head * p_.keys * padded_e_, padded_e_};
      const void* q = p_.q.at(args.in[0], p_.offset(p_.q, b.rows.at));
      if (readable<T>(p_.q)) {
        b.q = {static_cast<const T*>(q) + b.rows.first * p_.q.row, p_.q.row};
      } else {
        load_rows(p_.q, q, b.rows.first, b.rows.rows, p_.d, memory.q, p_.d);
        b.q = {memory.q, p_.d};
      }
      run_block(b, memory);
      if (parts_ > 1)
        save_part(part(shared.parts, i), b.rows.rows, memory);
      else
        write(args, b.rows, memory);
    }
  }

  RowBlock row_block(const KernelArgs& args, int64_t item) const {
    RowBlock b;
    b.in = args.in;
    b.batch = item / blocks_;
    b.at = p_.position(b.batch);
    b.first = item % blocks_ * rows_;
    b.rows = std::min(rows_, p_.queries - b.first);
    return b;
  }

  int64_t part_bytes() const {
    Arena arena(nullptr);
    arena.take<T>(rows_ * padded_e_);
    arena.take<T>(rows_);
    arena.take<double>(rows_);
    return arena.used();
  }
  char* parts_memory(Arena& arena) const {
    if (parts_ == 1) return nullptr;
    return arena.take<char>(checked_mul(p_.batches * blocks_ * parts_, part_bytes()));
  }
  Part part(char* memory, int64_t i) const {
    Arena arena(memory + i * part_bytes());
    Part part;
    part.o = arena.take<T>(rows_ * padded_e_);
    part.top = arena.take<T>(rows_);
    part.total = arena.take<double>(rows_);
    return part;
  }

  void save_part(const Part& part, int64_t rows, const Memory& m) const {
    std::copy(m.o, m.o + rows * padded_e_, part.o);
    std::copy(m.top, m.top + rows, part.top);
    std::copy(m.total, m.total + rows, part.total);
  }

  // The parts of one block of rows, added up in order.
  void join_parts(const KernelArgs& args, char* parts, int64_t item) const {
    Arena arena(onednn::thread_scratch(scratch_bytes_));
    Memory m(*this, arena);
    const RowBlock b = row_block(args, item);
    for (int64_t n = 0; n < parts_; ++n) {
      const Part p = part(parts, item * parts_ + n);
      for (int64_t r = 0; r < b.rows; ++r) {
        const T top = n == 0 ? p.top[r] : std::max(m.top[r], p.top[r]);
        const T shift = std::isinf(top) && top < 0 ? T(0) : top;
        const T own = std::exp(p.top[r] - shift), before = n == 0 ? T(0) : std::exp(m.top[r] - shift);
        T* o = m.o + r * padded_e_;
        if (n > 0) simd_.scale(1, padded_e_, {o, 0}, before, nullptr, false, {o, 0});
        simd_.scale(1, padded_e_, {p.o + r * padded_e_, 0}, own, nullptr, n > 0, {o, 0});
        m.total[r] =
            (n == 0 ? 0 : m.total[r] * static_cast<double>(before)) + p.total[r] * static_cast<double>(own);
        m.top[r] = top;
      }
    }
    write(args, b, m);
  }

  void run_block(const Block& b, Memory& m) const {
    attend(b, m, false, false);
    bool exact = false;
    if (tiles_.has_finite_fill())
      for (int64_t r = 0; r < b.rows.rows; ++r)
        exact = exact || !(tiles_.fill() - static_cast<double>(m.top[r]) < -least_exponent());
    if (exact) attend(b, m, true, false);
    if (!finite(b, m)) attend(b, m, exact, true);
  }

  static constexpr double least_exponent() { return sizeof(T) == 8 ? 746 : 104; }

  // False where a row whose probabilities are sound has a NaN or an infinity, which may come from a value
  // whose probability is 0.
  bool finite(const Block& b, const Memory& m) const {
    if (simd_.finite(b.rows.rows, padded_e_, {m.o, padded_e_})) return true;
    for (int64_t r = 0; r < b.rows.rows; ++r)
      if (std::isfinite(m.total[r]) && m.total[r] != 0 &&
          !simd_.finite(1, padded_e_, {m.o + r * padded_e_, padded_e_}))
        return false;
    return true;
  }

  // All blocks of keys in order; tiles that are one low number come last.
  void attend(const Block& b, Memory& m, bool exact, bool careful) const {
    const int64_t rows = b.rows.rows;
    m.fresh = true;
    std::fill(m.top, m.top + rows, -std::numeric_limits<T>::infinity());
    std::fill(m.total, m.total + rows, 0.0);
    bool later = false;
    for (int64_t key = b.key_begin; key < b.key_end; key += kKeysOfBlock) {
      const int64_t keys = std::min(kKeysOfBlock, b.key_end - key);
      const TilePlan plan = tiles_.plan(b.rows, key, keys, exact, m.tiles);
      if (plan.kind == TileClass::skip) continue;
      if (plan.kind == TileClass::constant)
        later = true;
      else
        visit(b, m, key, keys, plan, exact, careful);
    }
    for (int64_t key = b.key_begin; later && key < b.key_end; key += kKeysOfBlock) {
      const int64_t keys = std::min(kKeysOfBlock, b.key_end - key);
      const TilePlan plan = tiles_.plan(b.rows, key, keys, exact, m.tiles);
      if (plan.kind != TileClass::constant) continue;
      bool counts = false;
      for (int64_t r = 0; r < rows; ++r)
        counts = counts || !(plan.constant - static_cast<double>(m.top[r]) < -least_exponent());
      if (counts) visit(b, m, key, keys, plan, exact, careful);
    }
    clear_sums(m, rows);
  }

  void clear_sums(Memory& m, int64_t rows) const {
    if (m.fresh) std::fill(m.o, m.o + rows * padded_e_, T(0));
    m.fresh = false;
  }

  void visit(const Block& b, Memory& m, int64_t key, int64_t keys, const TilePlan& plan, bool exact,
             bool careful) const {
    const int64_t rows = b.rows.rows;
    const simd::Rows<T> s{m.s, m.s_row};
    if (k_in_place_)
      simd_.scores_of_rows(rows, keys, p_.d, b.q, {b.plain_k.data + key * b.plain_k.row, b.plain_k.row}, s);
    else
      simd_.scores(plan.ranges, rows, keys, p_.d, b.q, b.k + key * p_.d, s);
    if (!tiles_.direct(exact)) tiles_.scores(b.rows, key, keys, exact, m.s, m.s, m.s_row, m.tiles);
    simd::Rows<const T> factor;
    if (tiles_.has_factor()) {
      tiles_.factor(b.rows, key, keys, m.factor, m.s_row, m.tiles);
      factor = {m.factor, m.s_row};
    }
    simd_.softmax(plan.ranges, rows, keys, tiles_.scale(exact), tiles_.bias(b.rows, key, exact), factor, s,
                  {m.top, m.total, m.correction});
    const simd::Rows<const T> v{b.v.data + key * b.v.row, b.v.row};
    if (careful) {
      clear_sums(m, rows);
      add_present(plan.ranges, rows, keys, m, v);
    } else {
      simd_.values(plan.ranges, rows, keys, {m.s, m.s_row}, v, padded_e_, m.fresh, m.correction,
                   {m.o, padded_e_});
      m.fresh = false;
    }
  }

  // o = correction o + p v, where a probability of 0 keeps NaN and infinite values out.
  void add_present(simd::KeyRanges ranges, int64_t rows, int64_t keys, Memory& m,
                   simd::Rows<const T> v) const {
    for (int64_t r = 0; r < rows; ++r) {
      T* o = m.o + r * padded_e_;
      for (int64_t c = 0; c < p_.e; ++c) o[c] *= m.correction[r];
      const int64_t begin = ranges.begin == nullptr ? 0 : ranges.begin[r];
      const int64_t end = ranges.begin == nullptr ? keys : ranges.end[r];
      for (int64_t j = begin; j < end; ++j) {
        const T p = m.s[r * m.s_row + j];
        for (int64_t c = 0; p != 0 && c < p_.e; ++c) o[c] += p * v.data[j * v.row + c];
      }
    }
  }

  void write(const KernelArgs& args, const RowBlock& b, Memory& m) const {
    const int64_t rows = b.rows;
    T* scale = m.correction;
    std::fill(scale, scale + rows, T(1));
    if (tiles_.has_sink()) add_sink(b, m, scale);
    // An infinite score leaves nothing for the finite ones.
    for (int64_t r = 0; r < rows; ++r)
      if (std::isinf(m.top[r]) && m.top[r] > 0)
        m.total[r] = std::numeric_limits<double>::infinity(), scale[r] = 1;
    const int64_t row = b.batch * p_.queries + b.first;
    simd_.log_sum(rows, m.top, m.total, args.output<T>(1) + row, args.output<T>(2) + row);
    for (int64_t r = 0; r < rows; ++r) scale[r] = static_cast<T>(static_cast<double>(scale[r]) / m.total[r]);
    const bool may_clear = guard_ != "none" || p_.keys == 0 || tiles_.has_factor();
    for (int64_t r = 0; r < rows && may_clear; ++r)
      if (cleared(m.top[r], m.total[r]) || (!(m.total[r] > 0) && no_factor(b, r, m))) {
        std::fill(m.o + r * padded_e_, m.o + (r + 1) * padded_e_, T(0));
        scale[r] = 1;
      }
    void* y = y_.at(args.out[0], p_.offset(y_, b.at));
    if (readable<T>(y_)) {
      const simd::Rows<T> to{static_cast<T*>(y) + b.first * y_.row, y_.row};
      return simd_.scale(rows, p_.e, {m.o, padded_e_}, 1, scale, false, to);
    }
    simd_.scale(rows, p_.e, {m.o, padded_e_}, 1, scale, false, {m.o, padded_e_});
    store_rows(y_, y, b.first, rows, m.o, padded_e_);
  }

  bool cleared(T top, double total) const {
    if (guard_ == "nan" && (!(total > 0) || std::isinf(total))) return true;
    return p_.keys == 0 || (guard_ == "empty" && std::isinf(top) && top < 0);
  }

  // True where the factors of a row without probabilities are all 0: they select 0.
  bool no_factor(const RowBlock& b, int64_t row, Memory& m) const {
    if (!tiles_.has_factor()) return false;
    RowBlock one = b;
    one.first += row;
    one.rows = 1;
    for (int64_t key = 0; key < p_.keys; key += kKeysOfBlock) {
      const int64_t keys = std::min(kKeysOfBlock, p_.keys - key);
      tiles_.factor(one, key, keys, m.factor, m.s_row, m.tiles);
      if (std::any_of(m.factor, m.factor + keys, [](T f) { return f != 0; })) return false;
    }
    return true;
  }

  // Another score without a value; o has to be multiplied by `scale`.
  void add_sink(const RowBlock& b, Memory& m, T* scale) const {
    tiles_.sink(b, m.sink, m.tiles);
    for (int64_t r = 0; r < b.rows; ++r) {
      const double top = m.top[r], sink = m.sink[r];
      const double highest = sink > top || sink != sink ? sink : top;
      const double shift = std::isinf(highest) && highest < 0 ? 0 : highest;
      const double by = std::exp(top - shift);
      scale[r] = static_cast<T>(by);
      m.total[r] = m.total[r] * by + std::exp(sink - shift);
      m.top[r] = static_cast<T>(highest);
    }
  }

  const Problem p_;
  const std::string guard_;
  const View y_;
  const ScoreTiles<T> tiles_;
  const simd::AttentionKernels<T>& simd_;
  const Heads k_heads_, v_heads_;
  int64_t padded_e_ = 0, padded_keys_ = 0;
  bool k_in_place_ = false, v_in_place_ = false, pack_in_task_ = false;
  int64_t parts_ = 1, keys_of_part_ = 1;
  int64_t blocks_ = 1, rows_ = 1, items_of_task_ = 1, tasks_ = 1, scratch_bytes_ = 0;
};

}  // namespace
}  // namespace attend

FOVEA_KERNEL(cpu, attention, tiles) {
  kernel.strided().prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const AttentionSpec spec = attend::spec_of(r.attrs);
    if (r.in[0].dtype == DType::f64) return std::make_unique<attend::Forward<double>>(r, spec);
    return std::make_unique<attend::Forward<float>>(r, spec);
  });
}

}  // namespace fovea
