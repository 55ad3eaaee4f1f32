// Array::str(): what a person sees.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "framework/tensor/array.h"
#include "framework/tensor/element.h"

namespace fovea {
namespace {

constexpr int64_t kMaxShown = 1000;  // elements; above it long dimensions are shortened
constexpr size_t kOneLine = 72;      // an array that fits in so many columns stays on one line
constexpr size_t kLine = 96;         // longer rows are wrapped

// The positions shown along each dimension; kEllipsis stands for those left out.
constexpr int64_t kEllipsis = -1;
using Shown = std::vector<std::vector<int64_t>>;

Shown shorten(const Dims& shape, int64_t head, int64_t tail) {
  Shown shown(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) {
    const bool all = shape[d] <= head + tail;
    for (int64_t i = 0; i < (all ? shape[d] : head); ++i) shown[d].push_back(i);
    if (all) continue;
    shown[d].push_back(kEllipsis);
    for (int64_t i = shape[d] - tail; i < shape[d]; ++i) shown[d].push_back(i);
  }
  return shown;
}

int64_t count_shown(const Dims& shape, int64_t head, int64_t tail) {
  int64_t count = 1;
  for (int64_t d : shape) {
    count *= std::min(d, head + tail);
    if (count > kMaxShown) break;
  }
  return count;
}

Shown choose_shown(const Array& a) {
  if (a.size() <= kMaxShown) return shorten(a.shape(), kMaxShown, 0);
  for (int64_t edge : {3, 2, 1})
    if (count_shown(a.shape(), edge, edge) <= kMaxShown) return shorten(a.shape(), edge, edge);
  return shorten(a.shape(), 1, 0);
}

// Visits the shown part in row-major order: leaf(offset) for an element, gap() for "...", open() and close()
// for brackets, next(d) between two entries of dimension d. A loop and no recursion: any rank will do.
template <class V>
void walk(const Array& a, const Shown& shown, V&& v) {
  const size_t rank = shown.size();
  std::vector<size_t> at(rank, 0);
  for (size_t d = 0; d < rank; ++d) v.open();
  for (;;) {
    int64_t offset = 0;
    for (size_t d = 0; d < rank; ++d) offset += shown[d][at[d]] * a.strides()[d];
    v.leaf(offset);
    size_t d = rank;
    do {
      while (d > 0 && at[d - 1] + 1 == shown[d - 1].size()) {
        v.close();
        --d;
      }
      if (d == 0) return;
      v.next(d - 1);
      if (shown[d - 1][++at[d - 1]] == kEllipsis) v.gap();
    } while (shown[d - 1][at[d - 1]] == kEllipsis);
    for (; d < rank; ++d) {
      at[d] = 0;
      v.open();
    }
  }
}

struct Collect {
  std::vector<int64_t> offsets;
  void open() {}
  void close() {}
  void next(size_t) {}
  void gap() {}
  void leaf(int64_t offset) { offsets.push_back(offset); }
};

std::string digits(double v, std::chars_format format, int decimals) {
  char text[400];
  const auto end = std::to_chars(text, text + sizeof text, v, format, decimals);
  return std::string(text, end.ptr);
}

// How many decimals are needed before only zeros follow, in all of `texts`; at least one.
int used_decimals(const std::vector<std::string>& texts) {
  size_t used = 1;
  for (const std::string& t : texts) {
    const size_t point = t.find('.');
    if (point == std::string::npos) continue;
    const size_t exponent = std::min(t.find('e'), t.size());
    size_t last = exponent;
    while (t[last - 1] == '0') --last;
    used = std::max(used, last - 1 - point);
  }
  return static_cast<int>(used);
}

// One format for all numbers: fixed point with about five digits of the largest, or scientific where fixed
// point would be long or would show a number that is not 0 as 0.
std::vector<std::string> float_texts(const std::vector<double>& values) {
  double most = 0, least = HUGE_VAL;
  for (double v : values) {
    if (!std::isfinite(v) || v == 0) continue;
    most = std::max(most, std::abs(v));
    least = std::min(least, std::abs(v));
  }
  const int exponent = most > 0 ? static_cast<int>(std::floor(std::log10(most))) : 0;
  int decimals = exponent >= 0 ? 4 : 4 - exponent;
  const bool fixed = most < 1e8 && exponent >= -4 && least >= std::pow(10.0, -decimals);
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  if (!fixed) decimals = 4;
  std::vector<std::string> texts(values.size());
  auto write = [&] {
    for (size_t i = 0; i < values.size(); ++i) {
      const double v = values[i];
      texts[i] = std::isfinite(v) ? digits(v, format, decimals)
                 : std::isnan(v)  ? "nan"
                                  : (v > 0 ? "inf" : "-inf");
    }
  };
  write();
  decimals = used_decimals(texts);
  write();
  return texts;
}

std::vector<std::string> element_texts(const Array& a, const std::vector<int64_t>& offsets) {
  const void* first = a.raw();
  return dispatch(a.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* p = static_cast<const T*>(first);
    std::vector<std::string> texts;
    std::vector<double> numbers;
    for (int64_t offset : offsets) {
      const T x = load_element(p + offset);
      if constexpr (std::is_same_v<T, bool>) {
        texts.push_back(x ? "true" : "false");
      } else if constexpr (std::is_integral_v<T>) {
        texts.push_back(std::to_string(x));
      } else {
        numbers.push_back(convert_element<double>(x));
      }
    }
    return is_floating(a.dtype()) ? float_texts(numbers) : texts;
  });
}

struct Writer {
  const std::vector<std::string>& texts;
  size_t rank;
  bool one_line;
  size_t width = 0;  // of a column
  size_t taken = 0;
  std::string out = {};
  size_t line_start = 0;

  void open() { out += '['; }
  void close() { out += ']'; }
  void gap() { out += "..."; }
  void leaf(int64_t) {
    const std::string& t = texts[taken++];
    if (t.size() < width) out.append(width - t.size(), ' ');
    out += t;
  }
  void next(size_t d) {
    out += ',';
    const bool row = d + 1 == rank;
    if (one_line || (row && out.size() - line_start + width + 3 <= kLine)) {
      out += ' ';
      return;
    }
    out.append(row ? 1 : std::min<size_t>(rank - 1 - d, 2), '\n');
    line_start = out.size();
    out.append(d + 1, ' ');
  }
};

}  // namespace

std::string Array::str() const {
  if (!defined()) return "undefined array";
  const std::string type = std::string(to_string(dtype_)) + to_string(shape_);
  if (buffer_->donated) return "donated array  " + type;
  if (size_ == 0) return "[]  " + type;
  const Shown shown = choose_shown(*this);
  Collect found;
  walk(*this, shown, found);
  const std::vector<std::string> texts = element_texts(*this, found.offsets);

  Writer line{texts, shown.size(), true};
  walk(*this, shown, line);
  if (line.out.size() <= kOneLine) return line.out + "  " + type;

  Writer block{texts, shown.size(), false};
  for (const std::string& t : texts) block.width = std::max(block.width, t.size());
  walk(*this, shown, block);
  return block.out + "  " + type;
}

}  // namespace fovea
