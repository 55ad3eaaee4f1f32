#include "optim/attention/constants.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace fovea::match {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 26;  // looked at for a mask
constexpr int64_t kMostNumbers = int64_t{1} << 22;   // looked at for positions

bool is_whole(double x) { return std::isfinite(x) && std::fabs(x) < 1e15 && x == std::floor(x); }

// A matrix of bools: rows x columns.
struct Mask {
  int64_t rows, columns;
  std::vector<char> bits;
  bool at(int64_t r, int64_t c) const { return bits[static_cast<size_t>(r * columns + c)] != 0; }
};

// Rows and columns [row, rows) x [column, columns) in which a form is looked for.
struct Box {
  int64_t row, row_end, column, column_end;
};

// Where c - r decides: the truth of each diagonal from -(rows - 1) on; empty where it does not.
std::vector<char> diagonals(const Mask& m, const Box& b) {
  const int64_t lowest = b.column - (b.row_end - 1);
  std::vector<char> out(static_cast<size_t>(b.column_end - b.column + b.row_end - b.row - 1), 2);
  for (int64_t r = b.row; r < b.row_end; ++r)
    for (int64_t c = b.column; c < b.column_end; ++c) {
      char& d = out[static_cast<size_t>(c - r - lowest)];
      const char v = m.at(r, c);
      if (d == 2) d = v;
      if (d != v) return {};
    }
  return out;
}

// The diagonals `want`ed as one interval with a period.
bool band(const std::vector<char>& d, char want, int64_t lowest, ConstantForm& f) {
  std::vector<int64_t> hits;
  for (size_t i = 0; i < d.size(); ++i)
    if (d[i] == want) hits.push_back(static_cast<int64_t>(i));
  if (hits.empty()) return false;
  const int64_t step = hits.size() > 1 ? hits[1] - hits[0] : 1;
  for (size_t i = 1; i < hits.size(); ++i)
    if (hits[i] - hits[i - 1] != step) return false;
  const auto last = static_cast<int64_t>(d.size()) - 1;
  if (hits.front() >= step || hits.size() == 1) f.low = lowest + hits.front();
  if (last - hits.back() >= step || hits.size() == 1) f.high = lowest + hits.back();
  if (hits.size() == 1 && hits.front() == 0 && last > 0) f.low.reset();
  if (hits.size() == 1 && hits.back() == last && last > 0) f.high.reset();
  f.period = step;
  f.phase = ((lowest + hits.front()) % step + step) % step;
  return true;
}

bool find_band(const Mask& m, const Box& b, ConstantForm& f) {
  const std::vector<char> d = diagonals(m, b);
  if (d.empty()) return false;
  const int64_t lowest = b.column - (b.row_end - 1);
  if (std::find(d.begin(), d.end(), 0) == d.end()) return true;
  if (band(d, 1, lowest, f)) return true;
  f.outside = band(d, 0, lowest, f);
  return f.outside;
}

bool find_blocks(const Mask& m, const Box& b, ConstantForm& f) {
  if (b.row != 0 || b.column != 0 || !m.at(0, 0)) return false;
  int64_t k = 1;
  while (k < b.column_end && m.at(0, k)) ++k;
  if (k < 2 || k >= b.column_end) return false;
  for (bool causal : {false, true}) {
    bool equal = true;
    for (int64_t r = 0; equal && r < b.row_end; ++r)
      for (int64_t c = 0; equal && c < b.column_end; ++c)
        equal = m.at(r, c) == (causal ? c / k <= r / k : c / k == r / k);
    if (!equal) continue;
    f.block = k;
    f.block_causal = causal;
    return true;
  }
  return false;
}

bool row_is(const Mask& m, int64_t r, bool value) {
  for (int64_t c = 0; c < m.columns; ++c)
    if (m.at(r, c) != value) return false;
  return true;
}
bool column_is(const Mask& m, int64_t c, bool value) {
  for (int64_t r = 0; r < m.rows; ++r)
    if (m.at(r, c) != value) return false;
  return true;
}

bool find_mask(const Mask& m, ConstantForm& f) {
  Box whole{0, m.rows, 0, m.columns};
  if (find_band(m, whole, f) || find_blocks(m, whole, f)) return true;
  // Padding: columns and rows that are false at the end, columns that are false at the beginning.
  Box b = whole;
  while (b.column_end > 0 && column_is(m, b.column_end - 1, false)) --b.column_end;
  while (b.column < b.column_end && column_is(m, b.column, false)) ++b.column;
  while (b.row_end > 0 && row_is(m, b.row_end - 1, false)) --b.row_end;
  if (b.column >= b.column_end || b.row >= b.row_end) return false;
  ConstantForm padded = f;
  padded.column_begin = b.column;
  if (b.column_end < m.columns) padded.column_end = b.column_end;
  if (b.row_end < m.rows) padded.row_end = b.row_end;
  ConstantForm found = padded;
  if (find_band(m, b, found) || (found = padded, find_blocks(m, b, found))) {
    f = found;
    return true;
  }
  // Keys that all see, queries that see all.
  if (padded.column_end || padded.row_end || padded.column_begin > 0) return false;
  b = whole;
  while (b.column < m.columns && column_is(m, b.column, true)) ++b.column;
  while (b.row < m.rows && row_is(m, b.row, true)) ++b.row;
  if (b.column == m.columns || b.row == m.rows) return false;
  found = f;
  found.prefix = b.column;
  found.row_prefix = b.row;
  if ((b.column > 0 || b.row > 0) && find_band(m, b, found)) {
    f = found;
    return true;
  }
  return false;
}

bool find_affine(const std::vector<double>& v, int64_t rows, int64_t columns, ConstantForm& f) {
  const double base = v[0], down = rows > 1 ? v[static_cast<size_t>(columns)] - base : 0,
               right = columns > 1 ? v[1] - base : 0;
  if (!is_whole(base) || !is_whole(down) || !is_whole(right)) return false;
  const auto all = [&](const std::function<double(int64_t, int64_t)>& value) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        if (v[static_cast<size_t>(r * columns + c)] != value(r, c)) return false;
    return true;
  };
  if (all([&](int64_t r, int64_t c) {
        return base + static_cast<double>(r) * down + static_cast<double>(c) * right;
      })) {
    f.base = base, f.row_step = down, f.column_step = right;
    return true;
  }
  if (rows > 1 &&
      all([&](int64_t r, int64_t c) { return base + right * static_cast<double>(std::abs(c - r)); })) {
    f.base = base, f.distance_step = right;
    return true;
  }
  return false;
}

}  // namespace

namespace {

// The mask of a constant with exactly two values; nothing where it has one, or more.
std::optional<Mask> two_valued(const Array& array, int64_t rows, int64_t columns, ConstantForm& f) {
  return dispatch(array.dtype(), [&](auto zero) -> std::optional<Mask> {
    using T = decltype(zero);
    const Array dense = array.contiguous();
    const T* x = static_cast<const T*>(dense.raw());
    const auto value = [x](int64_t i) { return static_cast<double>(static_cast<float>(x[i])); };
    const double first = value(0);
    double other = first;
    Mask m{rows, columns, std::vector<char>(static_cast<size_t>(array.size()))};
    for (int64_t i = 0; i < array.size(); ++i) {
      const double v = value(i);
      if (other == first) other = v;
      if (v != first && v != other) return std::nullopt;
      m.bits[static_cast<size_t>(i)] = v != first;
    }
    if (other == first) return std::nullopt;
    int64_t last = 0;
    while (value(last) == first) ++last;
    f.yes = std::max(array.get_flat(0), dense.get_flat(last));
    f.no = std::min(array.get_flat(0), dense.get_flat(last));
    if (first > other)
      for (char& bit : m.bits) bit = !bit;
    return m;
  });
}

}  // namespace

ConstantForm form_of(const Array& array) {
  ConstantForm f;
  Dims sizes;
  for (int64_t n : array.shape())
    if (n != 1) sizes.push_back(n);
  if (sizes.empty() || sizes.size() > 2 || array.size() == 0 || array.size() > kMostElements) return f;
  const int64_t rows = sizes.size() == 2 ? sizes[0] : 1, columns = sizes.back();
  if (const auto mask = two_valued(array, rows, columns, f)) {
    if (find_mask(*mask, f)) f.what = ConstantForm::What::mask;
    return f;
  }
  if (array.dtype() == DType::boolean || array.size() > kMostNumbers) return f;
  if (find_affine(array.to_vector<double>(), rows, columns, f)) f.what = ConstantForm::What::affine;
  return f;
}

const ConstantForm& ConstantForms::of(int64_t index) {
  const auto [at, fresh] = known_.try_emplace(index);
  if (fresh) at->second = form_of(module_.constants[static_cast<size_t>(index)]);
  return at->second;
}

namespace {

int32_t mask_of(const ConstantForm& f, Expressions& e, int32_t row, int32_t column) {
  const auto both = [&e](int32_t a, int32_t b) { return e.binary(Code::logical_and, a, b); };
  const auto plus = [&e](int32_t a, int64_t n) { return e.binary(Code::add, a, e.integer(n)); };
  int32_t in = e.boolean(true);
  if (f.high) in = both(in, e.binary(Code::less_equal, column, plus(row, *f.high)));
  if (f.low) in = both(in, e.binary(Code::less_equal, plus(row, *f.low), column));
  if (f.period > 1) {
    const int32_t distance = e.binary(Code::sub, column, row);
    const int32_t rest = e.binary(Code::mod, distance, e.integer(f.period));
    in = both(in, e.binary(Code::equal, rest, e.integer(f.phase)));
  }
  if (f.outside) in = e.unary(Code::logical_not, in);
  if (f.block > 0) {
    const int32_t c = e.binary(Code::floor_div, column, e.integer(f.block));
    const int32_t r = e.binary(Code::floor_div, row, e.integer(f.block));
    in = both(in, e.binary(f.block_causal ? Code::less_equal : Code::equal, c, r));
  }
  if (f.column_begin > 0) in = both(in, e.binary(Code::less_equal, e.integer(f.column_begin), column));
  if (f.column_end) in = both(in, e.binary(Code::less, column, e.integer(*f.column_end)));
  if (f.row_end) in = both(in, e.binary(Code::less, row, e.integer(*f.row_end)));
  const auto either = [&e](int32_t a, int32_t b) { return e.binary(Code::logical_or, a, b); };
  if (f.prefix > 0) in = either(e.binary(Code::less, column, e.integer(f.prefix)), in);
  if (f.row_prefix > 0) in = either(e.binary(Code::less, row, e.integer(f.row_prefix)), in);
  return in;
}

int32_t affine_of(const ConstantForm& f, Expressions& e, int32_t row, int32_t column) {
  const auto times = [&e](int32_t a, double n) {
    return e.binary(Code::mul, a, e.integer(static_cast<int64_t>(n)));
  };
  int32_t sum = e.integer(static_cast<int64_t>(f.base));
  if (f.row_step != 0) sum = e.binary(Code::add, times(row, f.row_step), sum);
  if (f.column_step != 0) sum = e.binary(Code::add, times(column, f.column_step), sum);
  if (f.distance_step != 0) {
    const int32_t distance = e.unary(Code::abs, e.binary(Code::sub, column, row));
    sum = e.binary(Code::add, times(distance, f.distance_step), sum);
  }
  return sum;
}

}  // namespace

std::optional<int32_t> express(const ConstantForm& form, Expressions& e, Kind kind, const Shape& shape,
                               const Layout& layout) {
  if (form.what == ConstantForm::What::dense) return std::nullopt;
  std::vector<size_t> axes;
  for (size_t d = 0; d < shape.size(); ++d)
    if (shape[d] != Dim(1)) axes.push_back(d);
  const int32_t row = axes.size() == 2 ? e.place(layout[axes[0]]) : e.integer(0);
  const int32_t column = e.place(layout[axes.back()]);
  if (form.what == ConstantForm::What::affine) {
    const int32_t sum = affine_of(form, e, row, column);
    return kind == Kind::real ? e.unary(Code::to_real, sum) : sum;
  }
  const int32_t mask = mask_of(form, e, row, column);
  if (kind == Kind::boolean) return mask;
  const auto value = [&](double x) {
    return kind == Kind::real ? e.constant(x) : e.integer(static_cast<int64_t>(x));
  };
  return e.select(mask, value(form.yes), value(form.no));
}

}  // namespace fovea::match
