// Runs compiled tile programs strip by strip.
//
//   tile:  rows x columns, cut into strips of whole rows (short rows) or parts of one row (long rows)
//   value: one number | one a column | one a row | full, as its operands vary. What does not vary by row is
//          computed once for a run of columns; what varies by row only takes one group of elements a row.
#include "ops/shared/tile/machine.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "framework/base/error.h"
#include "ops/shared/simd/pointwise.h"
#include "ops/shared/tile/compiled.h"

namespace fovea::tiles {
namespace {

constexpr int64_t kMostOperands = 64;  // of tiles whose long row is cut
constexpr size_t kMostResults = 32;
constexpr unsigned kColumns = 1, kRows = 2, kFull = kColumns | kRows;  // what a value varies with

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
int64_t align(int64_t bytes) { return round_up(bytes, 64); }

// Registers lie a little apart, so that equal places of several do not fall on the same cache sets.
int64_t slot_bytes(int64_t capacity, int64_t element) { return align(capacity * element) + 192; }

// Casts between element types of memory, by DType.
struct Casts {
  std::array<simd::Unary, kDTypeCount> to_compute, to_i64, to_bool, from_compute, from_i64, from_bool;
  explicit Casts(DType compute) {
    for (int t = 0; t < kDTypeCount; ++t) {
      const auto type = static_cast<DType>(t);
      to_compute[t] = simd::find_cast(type, compute);
      to_i64[t] = simd::find_cast(type, DType::i64);
      to_bool[t] = simd::find_cast(type, DType::boolean);
      from_compute[t] = simd::find_cast(compute, type);
      from_i64[t] = simd::find_cast(DType::i64, type);
      from_bool[t] = simd::find_cast(DType::boolean, type);
    }
  }
};

template <class T>
void gather_row(const void* from, int64_t step, int64_t n, void* to) {
  const T* s = static_cast<const T*>(from);
  T* t = static_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) t[i] = s[i * step];
}
void gather(const void* from, int64_t step, int64_t n, int64_t element, void* to) {
  switch (element) {
    case 1:
      return gather_row<uint8_t>(from, step, n, to);
    case 2:
      return gather_row<uint16_t>(from, step, n, to);
    case 4:
      return gather_row<uint32_t>(from, step, n, to);
    default:
      return gather_row<uint64_t>(from, step, n, to);
  }
}
template <class T>
void repeat(const void* one, int64_t n, void* to) {
  std::fill_n(static_cast<T*>(to), n, *static_cast<const T*>(one));
}

// Where a value lies in the current run of columns.
struct Place {
  char* data;       // of row 0 of the tile where it moves with the rows, else of the current rows
  int64_t row;      // bytes from row to row
  int64_t advance;  // bytes by which it moves from one row of the tile to the next; 0: a register
  unsigned step;    // 1: a run of columns, 0: one group
};

// A loop made ready for a run of columns: a strip only moves the addresses.
struct Step {
  Loop loop;
  int64_t y, a, b, c;  // advances
  int64_t width;
  bool joined;  // rows lie one behind the other: one long row
};

// Scratch memory: state of the values, their registers, conversion buffers.
struct Layout {
  int64_t capacity;  // elements of a register
  int64_t places, steps, varies, real, wide, columns, rows, buffer, bytes;
  Layout(const Compiled& p, int64_t tile_rows, int64_t tile_columns) {
    const auto n = static_cast<int64_t>(p.nodes.size());
    const int64_t unit = unit_of(p.compute), wide_row = round_up(std::max<int64_t>(tile_columns, 1), unit);
    capacity =
        tile_rows <= p.strip / unit ? std::min(p.strip, std::max<int64_t>(tile_rows, 1) * wide_row) : p.strip;
    capacity = std::max(capacity, unit);
    const int64_t element = p.compute == DType::f64 ? 8 : 4;
    int64_t at = 0;
    const auto take = [&at](int64_t size) {
      const int64_t here = at;
      at += align(size);
      return here;
    };
    places = take(n * static_cast<int64_t>(sizeof(Place)));
    steps = take(n * static_cast<int64_t>(sizeof(Step)));
    varies = take(n);
    real = take(p.real_slots * slot_bytes(capacity, element));
    wide = take(p.wide_slots * slot_bytes(capacity, 8));
    buffer = take(2 * capacity * 8);
    columns = take(n * capacity * 8);
    rows = take(n * capacity * 8);
    bytes = at;
  }
};

}  // namespace

struct Machine::Impl {
  DType compute;
  Compiled small, large;  // large: for indices beyond kSmallIndex; equal where there is no iota
  Casts casts;
  Impl(const Program& program, DType type)
      : compute(type),
        small(compile(program, type, true)),
        large(small.has_iota && type == DType::f32 ? compile(program, type, false) : Compiled()),
        casts(type) {}
};

namespace {

// One call of Machine::run.
class Run {
 public:
  Run(const Compiled& p, const Casts& casts, const Tile& tile, void* const* results,
      const DType* result_types, int64_t result_row, char* scratch)
      : p_(p),
        casts_(casts),
        tile_(tile),
        results_(results),
        types_(result_types),
        result_row_(result_row),
        layout_(p, tile.rows, tile.columns),
        scratch_(scratch),
        places_(reinterpret_cast<Place*>(scratch + layout_.places)),
        steps_(reinterpret_cast<Step*>(scratch + layout_.steps)),
        varies_(reinterpret_cast<uint8_t*>(scratch + layout_.varies)),
        unit_(unit_of(p.compute)) {}

  void run() {
    find_variation();
    const auto count = static_cast<int32_t>(p_.nodes.size());
    const int64_t run = std::min(layout_.capacity, round_up(tile_.columns, unit_));
    const int64_t strip_rows = std::max<int64_t>(1, layout_.capacity / run);
    for (column_ = 0; column_ < tile_.columns; column_ += run) {
      n_ = std::min(run, tile_.columns - column_);
      padded_ = round_up(n_, unit_);
      row_ = 0;
      rows_ = 1;
      for (int32_t v = 0; v < count; ++v) {
        place(v);
        if (p_.nodes[v].loop) prepare(v, p_.nodes[v]);
        if (!(varies_[v] & kRows)) evaluate(v);
      }
      for (row_ = 0; row_ < tile_.rows; row_ += strip_rows) {
        rows_ = std::min(strip_rows, tile_.rows - row_);
        for (int32_t v = 0; v < count; ++v)
          if (varies_[v] & kRows) evaluate(v);
        // Operands handed on as results go first: another result may take their memory.
        for (const bool leaves : {true, false})
          for (size_t k = 0; k < p_.results.size(); ++k)
            if ((p_.nodes[p_.results[k]].op == op_of(Code::input)) == leaves) store(static_cast<int32_t>(k));
      }
    }
  }

 private:
  void find_variation() {
    for (size_t v = 0; v < p_.nodes.size(); ++v) {
      const Node& n = p_.nodes[v];
      unsigned varies = 0;
      if (n.op == op_of(Code::input)) {
        const Operand& o = tile_.operands[n.index];
        varies = (o.column != 0 ? kColumns : 0) | (o.row != 0 ? kRows : 0);
      } else if (n.op == op_of(Code::iota)) {
        const int64_t axis = axis_of(n);
        varies = axis == tile_.rank - 1 ? kColumns : axis == tile_.rank - 2 ? kRows : 0;
      } else if (n.op == op_of(Code::random)) {
        varies = kFull;
      } else {
        for (int32_t x : {n.a, n.b, n.c})
          if (x >= 0) varies |= varies_[x];
      }
      varies_[v] = static_cast<uint8_t>(varies);
    }
  }
  int64_t axis_of(const Node& n) const { return n.index < 0 ? n.index + tile_.rank : n.index; }

  // The register (or the area of a value that is no full one) of node v.
  Place own_place(int32_t v) const {
    const Node& n = p_.nodes[v];
    const int64_t element = p_.size(n.rep), capacity = layout_.capacity;
    switch (varies_[v]) {
      case kFull:
        return {scratch_ + (n.rep == Rep::i64 ? layout_.wide : layout_.real) +
                    n.slot * slot_bytes(capacity, element),
                padded_ * element, 0, 1};
      case kRows:
        return {scratch_ + layout_.rows + v * capacity * 8, unit_ * element, 0, 0};
      default:
        return {scratch_ + layout_.columns + v * capacity * 8, 0, 0, varies_[v] == kColumns ? 1u : 0u};
    }
  }

  void place(int32_t v) {
    const Node& n = p_.nodes[v];
    if (n.constant >= 0) {
      places_[v] = {const_cast<char*>(p_.constants.data()) + n.constant, 0, 0, 0};
      return;
    }
    places_[v] = own_place(v);
    if (n.op == op_of(Code::input)) {
      const Operand& o = tile_.operands[n.index];
      if (is_stored_as(n.rep, o.dtype) && o.column == 1 && n_ == padded_) {  // used where it lies
        const int64_t element = size_of(o.dtype);
        places_[v] = {const_cast<char*>(static_cast<const char*>(o.data)) + column_ * element,
                      o.row * element, o.row * element, 1};
      }
    } else if (varies_[v] == kFull) {
      direct_result(v, n);
    }
  }
  bool is_stored_as(Rep rep, DType dtype) const {
    return (rep == Rep::real && dtype == p_.compute) || (rep == Rep::i64 && dtype == DType::i64);
  }

  void prepare(int32_t v, const Node& n) {
    const Place& y = places_[v];
    Step& s = steps_[v];
    s = {};
    s.width = y.step ? padded_ : unit_;
    s.loop.y = y.data;
    s.loop.y_row = y.row;
    s.y = y.advance;
    // Rows that lie one behind the other in every operand are one long row.
    s.joined = y.row == s.width * p_.size(n.rep);
    const auto operand = [&](int32_t x, unsigned bit, const char*& data, int64_t& row, int64_t& advance) {
      if (x < 0) return;
      const Place& p = places_[x];
      data = p.data;
      row = p.row;
      advance = p.advance;
      // Where the result is one group a row, groups of the operand are read as they lie.
      const bool steps = p.step || (y.step == 0 && p.row != 0);
      if (steps) s.loop.steps |= bit;
      s.joined = s.joined && (steps ? p.row == s.width * p_.size(p_.nodes[x].rep) : p.row == 0);
    };
    operand(n.a, 1, s.loop.a, s.loop.a_row, s.a);
    operand(n.b, 2, s.loop.b, s.loop.b_row, s.b);
    operand(n.c, 4, s.loop.c, s.loop.c_row, s.c);
  }

  void evaluate(int32_t v) {
    const Node& n = p_.nodes[v];
    if (n.loop) {
      const Step& s = steps_[v];
      Loop l = s.loop;
      l.y += row_ * s.y;
      l.a += row_ * s.a;
      l.b += row_ * s.b;
      l.c += row_ * s.c;
      const int64_t rows = varies_[v] & kRows ? rows_ : 1;
      l.rows = s.joined ? 1 : rows;
      l.n = s.joined ? s.width * rows : s.width;
      n.loop(l);
    } else if (n.constant >= 0) {
      return;
    } else if (n.op == op_of(Code::input)) {
      load(v, n);
    } else if (n.op == op_of(Code::iota)) {
      iota(v, n);
    } else {
      random(v, n);
    }
  }

  // A full value that is a result goes where it belongs at once, unless an operand that lies there is still
  // to be read.
  void direct_result(int32_t v, const Node& n) {
    if (n.rep != Rep::real || n_ != padded_) return;
    for (size_t k = 0; k < p_.results.size(); ++k) {
      if (p_.results[k] != v || type_of(static_cast<int32_t>(k)) != p_.compute) continue;
      for (const Node& o : p_.nodes)
        if (o.op == op_of(Code::input) && o.last_use > v && tile_.operands[o.index].data == results_[k])
          return;
      const int64_t element = p_.size(n.rep);
      places_[v] = {static_cast<char*>(results_[k]) + column_ * element, result_row_ * element,
                    result_row_ * element, 1};
      return;
    }
  }

  // ---- leaves

  void load(int32_t v, const Node& n) {
    const Operand& o = tile_.operands[n.index];
    const int64_t element = size_of(o.dtype);
    const char* from = static_cast<const char*>(o.data) + (row_ * o.row + column_ * o.column) * element;
    const Place& to = places_[v];
    const bool same = is_stored_as(n.rep, o.dtype);
    if (same && o.column == 1 && n_ == padded_) return;  // used where it lies
    const int64_t rows = varies_[v] & kRows ? rows_ : 1;
    if (same && o.column == 0) return spread(from, o.row * element, element, rows, to);
    for (int64_t r = 0; r < rows; ++r, from += o.row * element) {
      char* row = to.data + r * to.row;
      const int64_t count = o.column == 0 ? 1 : n_;
      const void* dense = from;
      if (o.column != 0 && o.column != 1) {
        gather(from, o.column, count, element, buffer(1));
        dense = buffer(1);
      }
      convert(n.rep, o.dtype, dense, row, count);
      if (o.column == 0) spread(row, 0, p_.size(n.rep), 1, {row, 0, 0, 0});
    }
  }
  // One element a row, repeated over a group.
  void spread(const char* from, int64_t from_row, int64_t element, int64_t rows, const Place& to) {
    for (int64_t r = 0; r < rows; ++r)
      element == 4 ? repeat<uint32_t>(from + r * from_row, unit_, to.data + r * to.row)
                   : repeat<uint64_t>(from + r * from_row, unit_, to.data + r * to.row);
  }
  void convert(Rep rep, DType from, const void* x, char* y, int64_t count) {
    const auto t = static_cast<size_t>(from);
    const auto n = static_cast<size_t>(count);
    if (rep == Rep::mask) {
      const void* bytes = x;
      if (from != DType::boolean) {
        casts_.to_bool[t](x, buffer(0), n);
        bytes = buffer(0);
      }
      masks(static_cast<const uint8_t*>(bytes), y, n);
      return;
    }
    (rep == Rep::i64 ? casts_.to_i64 : casts_.to_compute)[t](x, y, n);
    // Groups are read whole: what lies behind the row must be numbers, too.
    const int64_t element = p_.size(rep), rest = round_up(count, unit_) - count;
    if (rest > 0) std::memset(y + count * element, 0, static_cast<size_t>(rest * element));
  }
  void masks(const uint8_t* bytes, char* y, size_t n) { bytes_to_masks(bytes, y, n, p_.compute); }

  void iota(int32_t v, const Node& n) {
    const int64_t axis = axis_of(n);
    const Place& y = places_[v];
    if (varies_[v] == kColumns) {
      const int64_t first = tile_.index[axis] + column_;
      for (int64_t i = 0; i < padded_; ++i) set(y.data, n.rep, i, first + i);
      return;
    }
    const bool by_row = varies_[v] == kRows;
    for (int64_t r = 0; r < (by_row ? rows_ : 1); ++r) {
      const int64_t at = tile_.index[axis] + (by_row ? row_ + r : 0);
      for (int64_t i = 0; i < unit_; ++i) set(y.data + r * y.row, n.rep, i, at);
    }
  }
  static void set(char* y, Rep rep, int64_t i, int64_t value) {
    if (rep == Rep::i32) {
      reinterpret_cast<int32_t*>(y)[i] = static_cast<int32_t>(value);
    } else {
      reinterpret_cast<int64_t*>(y)[i] = value;
    }
  }

  void random(int32_t v, const Node& n) {
    const Place& y = places_[v];
    const auto* key = static_cast<const int64_t*>(tile_.operands[n.a].data);
    const simd::RandomStream stream{static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1]),
                                    static_cast<uint64_t>(n.index)};
    const bool joined = tile_.linear_row == static_cast<uint64_t>(n_) && padded_ == n_;
    const int64_t rows = joined ? 1 : rows_, count = joined ? n_ * rows_ : n_;
    for (int64_t r = 0; r < rows; ++r) {
      const uint64_t first =
          tile_.linear + static_cast<uint64_t>(row_ + r) * tile_.linear_row + static_cast<uint64_t>(column_);
      char* row = y.data + r * y.row;
      if (n.rep == Rep::i32) {
        simd::random_bits(stream, first, first + static_cast<uint64_t>(count),
                          reinterpret_cast<int32_t*>(row));
        continue;
      }
      auto* words = reinterpret_cast<int32_t*>(buffer(0));
      simd::random_bits(stream, first, first + static_cast<uint64_t>(count), words);
      for (int64_t i = 0; i < count; ++i) reinterpret_cast<int64_t*>(row)[i] = words[i];
    }
  }

  // ---- results

  DType type_of(int32_t k) const {
    if (types_) return types_[k];
    const Rep rep = p_.nodes[p_.results[k]].rep;
    return rep == Rep::real ? p_.compute : rep == Rep::mask ? DType::boolean : DType::i64;
  }

  void store(int32_t k) {
    const int32_t v = p_.results[k];
    const Node& n = p_.nodes[v];
    const Place& from = places_[v];
    const DType type = type_of(k);
    const int64_t element = size_of(type);
    char* to = static_cast<char*>(results_[k]) + (row_ * result_row_ + column_) * element;
    const char* data = from.data + row_ * from.advance;
    if (data == to) return;
    for (int64_t r = 0; r < rows_; ++r) {
      const char* x = data + r * from.row;
      char* y = to + r * result_row_ * element;
      if (!from.step) {
        one_to_row(n.rep, type, x, y);
      } else {
        to_memory(n.rep, type, x, y, n_);
      }
    }
  }
  void one_to_row(Rep rep, DType type, const char* x, char* y) {
    char* one = static_cast<char*>(buffer(1));
    to_memory(rep, type, x, one, 1);
    switch (size_of(type)) {
      case 1:
        return repeat<uint8_t>(one, n_, y);
      case 2:
        return repeat<uint16_t>(one, n_, y);
      case 4:
        return repeat<uint32_t>(one, n_, y);
      default:
        return repeat<uint64_t>(one, n_, y);
    }
  }
  void to_memory(Rep rep, DType type, const char* x, char* y, int64_t count) {
    const auto n = static_cast<size_t>(count);
    const auto t = static_cast<size_t>(type);
    if (rep == Rep::mask) {
      auto* bytes = reinterpret_cast<uint8_t*>(type == DType::boolean ? y : buffer(0));
      masks_to_bytes(x, bytes, n, p_.compute);
      if (type != DType::boolean) casts_.from_bool[t](bytes, y, n);
    } else if (rep == Rep::real) {
      if (type == p_.compute) {
        std::memcpy(y, x, n * static_cast<size_t>(size_of(type)));
      } else {
        casts_.from_compute[t](x, y, n);
      }
    } else {
      const void* whole = x;
      if (rep == Rep::i32) {
        auto* wide = reinterpret_cast<int64_t*>(buffer(0));
        for (size_t i = 0; i < n; ++i) wide[i] = reinterpret_cast<const int32_t*>(x)[i];
        whole = wide;
      }
      if (type == DType::i64) {
        std::memcpy(y, whole, n * 8);
      } else {
        casts_.from_i64[t](whole, y, n);
      }
    }
  }

  char* buffer(int which) const { return scratch_ + layout_.buffer + which * layout_.capacity * 8; }

  const Compiled& p_;
  const Casts& casts_;
  const Tile& tile_;
  void* const* results_;
  const DType* types_;
  const int64_t result_row_;
  const Layout layout_;
  char* const scratch_;
  Place* const places_;
  Step* const steps_;
  uint8_t* const varies_;
  const int64_t unit_;
  int64_t column_ = 0, row_ = 0, n_ = 0, padded_ = 0, rows_ = 0;  // the strip
};

// True if rows of the tile may be laid end to end: every operand steps through it as through one row.
bool is_one_row(const Compiled& p, const Tile& t, int64_t result_row) {
  if (t.rows <= 1 || result_row != t.columns) return false;
  for (const Node& n : p.nodes) {
    if (n.op == op_of(Code::input)) {
      const Operand& o = t.operands[n.index];
      if (!(o.row == 0 && o.column == 0) && o.row != o.column * t.columns) return false;
    } else if (n.op == op_of(Code::iota)) {
      if ((n.index < 0 ? n.index + t.rank : n.index) >= t.rank - 2) return false;
    } else if (n.op == op_of(Code::random)) {
      if (t.linear_row != static_cast<uint64_t>(t.columns)) return false;
    }
  }
  return true;
}

// True if a long row may be cut into rows of a strip each: nothing depends on the column itself.
bool may_cut(const Compiled& p, const Tile& t) {
  if (t.rows != 1 || t.columns < 2 * p.strip || p.operands > kMostOperands) return false;
  if (p.results.size() > kMostResults) return false;
  for (const Node& n : p.nodes)
    if (n.op == op_of(Code::iota) && (n.index < 0 ? n.index + t.rank : n.index) >= t.rank - 2) return false;
  return true;
}

bool needs_large(const Compiled& p, const Tile& t) {
  if (!p.has_iota) return false;
  for (int64_t d = 0; d < t.rank; ++d) {
    const int64_t extent = d == t.rank - 1 ? t.columns : d == t.rank - 2 ? t.rows : 1;
    if (t.index[d] > kSmallIndex - extent) return true;
  }
  return false;
}

// One long row as rows of a strip each, and the rest.
void run_cut(const Compiled& p, const Casts& casts, Tile t, void* const* results, const DType* types,
             char* scratch) {
  const int64_t columns = t.columns, rows = columns / p.strip, rest = columns - rows * p.strip;
  Operand operands[kMostOperands];
  const auto count = static_cast<size_t>(p.operands);
  for (size_t k = 0; k < count; ++k) {
    operands[k] = t.operands[k];
    operands[k].row = operands[k].column * p.strip;
  }
  t.operands = operands;
  t.rows = rows;
  t.columns = p.strip;
  t.linear_row = static_cast<uint64_t>(p.strip);
  Run(p, casts, t, results, types, p.strip, scratch).run();
  if (rest == 0) return;
  const int64_t done = rows * p.strip;
  void* behind[kMostResults];
  for (size_t k = 0; k < p.results.size(); ++k) {
    const Rep rep = p.nodes[p.results[k]].rep;
    const DType type = types              ? types[k]
                       : rep == Rep::real ? p.compute
                       : rep == Rep::mask ? DType::boolean
                                          : DType::i64;
    behind[k] = static_cast<char*>(results[k]) + done * size_of(type);
  }
  for (size_t k = 0; k < count; ++k)
    operands[k].data =
        static_cast<const char*>(operands[k].data) + done * operands[k].column * size_of(operands[k].dtype);
  t.rows = 1;
  t.columns = rest;
  t.linear += static_cast<uint64_t>(done);
  Run(p, casts, t, behind, types, rest, scratch).run();
}

}  // namespace

Machine::Machine(const Program& program, DType compute) {
  if (compute != DType::f32 && compute != DType::f64)
    invalid("the tile machine computes in f32 or f64, not in " + std::string(to_string(compute)));
  impl_ = std::make_unique<Impl>(program, compute);
}
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

int64_t Machine::scratch_bytes(int64_t rows, int64_t columns) const {
  int64_t bytes = Layout(impl_->small, rows, columns).bytes;
  if (!impl_->large.nodes.empty()) bytes = std::max(bytes, Layout(impl_->large, rows, columns).bytes);
  return bytes;
}

void Machine::run(const Tile& tile, void* const* results, const DType* result_types, int64_t result_row,
                  void* scratch) const {
  if (tile.rows <= 0 || tile.columns <= 0) return;
  const bool large = needs_large(impl_->small, tile) && !impl_->large.nodes.empty();
  const Compiled& p = large ? impl_->large : impl_->small;
  char* memory = static_cast<char*>(scratch);
  Tile flat = tile;
  if (is_one_row(p, tile, result_row)) {
    flat.rows = 1;
    flat.columns = tile.rows * tile.columns;
  }
  if (!may_cut(p, flat)) {
    Run(p, impl_->casts, flat, results, result_types, result_row, memory).run();
    return;
  }
  run_cut(p, impl_->casts, flat, results, result_types, memory);
}

}  // namespace fovea::tiles
