// Shape arithmetic: nodes of small integer tensors that are computed while the model is read, on sizes that
// may be symbols. So `Reshape(x, Concat(Slice(Shape(x)), -1))` becomes one reshape to [B, L, -1].
#include <algorithm>
#include <cmath>
#include <map>

#include "framework/base/checked.h"
#include "frontends/import/onnx/importer_internal.h"

namespace fovea::onnx {
namespace {

constexpr int64_t kMostValues = 1024;

using Folded = std::optional<std::vector<Known>>;
using FoldFn = Folded (*)(Context& c, const std::vector<Known>& in);

Folded one(Known value) {
  std::vector<Known> out;
  out.push_back(std::move(value));
  return out;
}
Known vector_of(Shape values, DType dtype = DType::i64) {
  return {{static_cast<int64_t>(values.size())}, std::move(values), dtype};
}

// Position in a tensor that broadcasts to `shape`, for position `flat` of the whole.
int64_t broadcast_position(const Dims& from, const Dims& shape, int64_t flat) {
  int64_t out = 0, stride = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t axis = shape.size() - 1 - i;
    const int64_t at = flat % shape[axis];
    flat /= shape[axis];
    if (i >= from.size()) continue;
    const int64_t size = from[from.size() - 1 - i];
    if (size != 1) out += at * stride;
    stride *= size;
  }
  return out;
}

// The broadcast shape of operands; nothing where they do not fit or are too many.
std::optional<Dims> common_shape(const std::vector<Known>& in) {
  Dims out;
  for (const Known& k : in) {
    if (k.shape.size() > out.size()) out.insert(out.begin(), k.shape.size() - out.size(), 1);
    for (size_t i = 0; i < k.shape.size(); ++i) {
      int64_t& to = out[out.size() - k.shape.size() + i];
      if (k.shape[i] == to || k.shape[i] == 1) continue;
      if (to != 1) return {};
      to = k.shape[i];
    }
  }
  int64_t n = 1;
  for (int64_t d : out)
    if (__builtin_mul_overflow(n, d, &n) || n > kMostValues) return {};
  return out;
}

// Elementwise; `f` gives nothing where the symbols do not decide.
template <class F>
Folded pointwise(const std::vector<Known>& in, DType dtype, F&& f) {
  const auto shape = common_shape(in);
  if (!shape) return {};
  const int64_t n = product(*shape);
  Known out{*shape, {}, dtype};
  for (int64_t i = 0; i < n; ++i) {
    std::vector<Dim> at;
    for (const Known& k : in)
      at.push_back(k.values[static_cast<size_t>(broadcast_position(k.shape, *shape, i))]);
    std::optional<Dim> value = f(at);
    if (!value) return {};
    out.values.push_back(std::move(*value));
  }
  return one(std::move(out));
}

// The sign of a - b where all sizes, which are not negative, agree on it: -1, 0 or 1.
std::optional<int> order(const Dim& a, const Dim& b) {
  // Numbers may be as far apart as int64 allows: -inf cast to an integer is one of them.
  if (a.is_const() && b.is_const()) return a.value() < b.value() ? -1 : a.value() > b.value();
  const Dim difference = a - b;
  if (difference.is_const()) return difference.value() < 0 ? -1 : difference.value() > 0;
  if (a.is_symbol() && b.is_const() && b.value() < 0) return 1;
  if (b.is_symbol() && a.is_const() && a.value() < 0) return -1;
  return {};
}

Dim truth(bool b) { return Dim(int64_t{b}); }

template <class Test>
Folded compare(const std::vector<Known>& in, Test&& test) {
  return pointwise(in, DType::boolean, [&](const std::vector<Dim>& v) -> std::optional<Dim> {
    // A product of symbols is never negative either; it is told apart from -1, the mark of open sizes.
    if (v[0].is_const() != v[1].is_const()) {
      const Dim &open = v[0].is_const() ? v[1] : v[0], &number = v[0].is_const() ? v[0] : v[1];
      if (number.value() < 0 && open.str().find('-') == std::string::npos)
        return truth(test(v[0].is_const() ? -1 : 1));
    }
    const auto sign = order(v[0], v[1]);
    return sign ? std::optional(truth(test(*sign))) : std::nullopt;
  });
}

Folded fold_shape(Context& c, const std::vector<Known>&) {
  const Shape shape = c.in(0).shape();
  const auto rank = static_cast<int64_t>(shape.size());
  const auto clamp = [rank](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const int64_t start = clamp(c.integer("start", 0)), end = clamp(c.integer("end", rank));
  if (start >= end) return one(vector_of({}));
  return one(vector_of(Shape(shape.begin() + start, shape.begin() + end)));
}

Folded fold_size(Context& c, const std::vector<Known>&) {
  return one({{}, {product(c.in(0).shape())}, DType::i64});
}

Folded fold_constant_of_shape(Context& c, const std::vector<Known>& in) {
  Known out;
  out.values.clear();
  int64_t n = 1;
  for (const Dim& d : in[0].values) {
    if (!d.is_const() || d.value() < 0 || __builtin_mul_overflow(n, d.value(), &n) || n > kMostValues)
      return {};
    out.shape.push_back(d.value());
  }
  if (out.shape.size() > 1 || !c.has_attr("value")) return {};  // masks stay rules
  const Array value = c.tensor("value");
  if (is_floating(value.dtype()) || value.size() != 1) return {};
  out.dtype = value.dtype();
  out.values.assign(static_cast<size_t>(n), Dim(value.to_vector<int64_t>()[0]));
  return one(std::move(out));
}

Folded fold_concat(Context& c, const std::vector<Known>& in) {
  Known out{{0}, {}, in[0].dtype};
  if (c.integer("axis", 1) != 0 && c.integer("axis", 1) != -1) return {};
  for (const Known& k : in) {
    if (k.shape.size() != 1) return {};
    out.values.insert(out.values.end(), k.values.begin(), k.values.end());
  }
  out.shape[0] = static_cast<int64_t>(out.values.size());
  return one(std::move(out));
}

Folded fold_gather(Context& c, const std::vector<Known>& in) {
  const Known &from = in[0], &at = in[1];
  if (from.shape.size() != 1 || c.integer("axis", 0) > 0) return {};
  const auto size = static_cast<int64_t>(from.values.size());
  Known out{at.shape, {}, from.dtype};
  for (const Dim& d : at.values) {
    if (!d.is_const()) return {};
    const int64_t i = d.value() < 0 ? d.value() + size : d.value();
    if (i < 0 || i >= size)
      c.invalid("index " + d.str() + " is out of range for " + std::to_string(size) + " elements");
    out.values.push_back(from.values[static_cast<size_t>(i)]);
  }
  return one(std::move(out));
}

Folded fold_slice(Context& c, const std::vector<Known>& in) {
  const Known& from = in[0];
  if (from.shape.size() != 1) return {};
  const auto size = static_cast<int64_t>(from.values.size());
  const auto at = [&](size_t i, const char* name, Ints fallback) -> std::optional<int64_t> {
    if (i < in.size() && c.opset() >= 10) {
      if (in[i].values.size() != 1 || !in[i].values[0].is_const()) return {};
      return in[i].values[0].value();
    }
    const Ints list = c.opset() >= 10 ? fallback : c.ints(name, fallback);
    return list.size() == 1 ? std::optional(list[0]) : std::nullopt;
  };
  const auto start = at(1, "starts", {}), stop = at(2, "ends", {}), step = at(4, "steps", {1});
  if (!start || !stop || !step || *step == 0) return {};
  const auto place = [&](int64_t x, int64_t low, int64_t high) {
    if (x < 0) x = x < -size ? -1 : x + size;
    return std::clamp(x, low, high);
  };
  Known out{{0}, {}, from.dtype};
  const bool up = *step > 0;
  const int64_t first = place(*start, up ? 0 : -1, up ? size : size - 1);
  const int64_t end = place(*stop, up ? 0 : -1, up ? size : size - 1);
  const int64_t by = std::clamp<int64_t>(*step, -size - 1, size + 1);
  for (int64_t i = first; up ? i < end : i > end; i += by)
    out.values.push_back(from.values[static_cast<size_t>(i)]);
  out.shape[0] = static_cast<int64_t>(out.values.size());
  return one(std::move(out));
}

// The same values in another shape.
Folded reshaped(const Known& from, Dims shape) {
  Known out = from;
  out.shape = std::move(shape);
  return one(std::move(out));
}

Folded fold_unsqueeze(Context& c, const std::vector<Known>& in) {
  Ints axes = c.ints_at(1, "axes");
  const auto rank = static_cast<int64_t>(in[0].shape.size() + axes.size());
  axes = axes_of(c, axes, rank);
  std::sort(axes.begin(), axes.end());
  Dims shape = in[0].shape;
  for (int64_t a : axes) {
    if (a > static_cast<int64_t>(shape.size())) return {};
    shape.insert(shape.begin() + a, 1);
  }
  return reshaped(in[0], shape);
}

Folded fold_squeeze(Context& c, const std::vector<Known>& in) {
  const auto rank = static_cast<int64_t>(in[0].shape.size());
  const Ints axes = axes_of(c, c.ints_at(1, "axes"), rank);
  Dims shape;
  for (int64_t d = 0; d < rank; ++d) {
    const bool drop =
        axes.empty() ? in[0].shape[d] == 1 : std::find(axes.begin(), axes.end(), d) != axes.end();
    if (drop && in[0].shape[d] != 1) return {};
    if (!drop) shape.push_back(in[0].shape[d]);
  }
  return reshaped(in[0], shape);
}

Folded fold_reshape(Context&, const std::vector<Known>& in) {
  if (in.size() < 2) return {};
  Dims shape;
  int64_t open = -1, n = 1;
  for (size_t i = 0; i < in[1].values.size(); ++i) {
    if (!in[1].values[i].is_const()) return {};
    int64_t d = in[1].values[i].value();
    if (d == 0) d = i < in[0].shape.size() ? in[0].shape[i] : 0;
    if (d == -1 && open < 0)
      open = static_cast<int64_t>(i);
    else if (d < 0 || __builtin_mul_overflow(n, d, &n))
      return {};
    shape.push_back(d);
  }
  const auto size = static_cast<int64_t>(in[0].values.size());
  if (open >= 0) {
    if (n == 0 || size % n != 0) return {};
    shape[static_cast<size_t>(open)] = size / n;
  } else if (n != size) {
    return {};
  }
  return reshaped(in[0], shape);
}

Folded fold_transpose(Context& c, const std::vector<Known>& in) {
  const Known& from = in[0];
  if (from.shape.size() < 2) return one(from);
  if (from.shape.size() != 2) return {};
  if (c.ints("perm", {1, 0}) != Ints{1, 0}) return one(from);
  Known out{{from.shape[1], from.shape[0]}, {}, from.dtype};
  for (int64_t i = 0; i < out.shape[0]; ++i)
    for (int64_t j = 0; j < out.shape[1]; ++j)
      out.values.push_back(from.values[static_cast<size_t>(j * from.shape[1] + i)]);
  return one(std::move(out));
}

Folded fold_cast(Context& c, const std::vector<Known>& in) {
  const auto dtype = dtype_of_onnx(c.integer("to"));
  if (!dtype || is_floating(*dtype)) return {};
  Known out = in[0];
  out.dtype = *dtype;
  if (*dtype == DType::i64 || *dtype == in[0].dtype) return one(std::move(out));
  if (*dtype == DType::boolean) {
    for (Dim& d : out.values) {
      if (!d.is_const()) return {};
      d = d.value() != 0;
    }
    return one(std::move(out));
  }
  if (*dtype != DType::i32 && !in[0].is_const()) return {};
  for (Dim& d : out.values)
    if (d.is_const()) d = Array::scalar(d.value()).cast(*dtype).to_vector<int64_t>()[0];
  return one(std::move(out));
}

Folded fold_range(Context&, const std::vector<Known>& in) {
  for (const Known& k : in)
    if (k.values.size() != 1 || !k.values[0].is_const()) return {};
  const int64_t start = in[0].values[0].value(), limit = in[1].values[0].value(),
                step = in[2].values[0].value();
  if (step == 0) return {};
  const double count =
      std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(step));
  if (count > static_cast<double>(kMostValues)) return {};
  Known out{{0}, {}, in[0].dtype};
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i)
    out.values.push_back(Dim(start) + Dim(i) * Dim(step));
  out.shape[0] = static_cast<int64_t>(out.values.size());
  return one(std::move(out));
}

Folded fold_expand(Context&, const std::vector<Known>& in) {
  if (in.size() < 2) return {};
  Known target{{}, {}, DType::i64};
  int64_t n = 1;
  for (const Dim& d : in[1].values) {
    if (!d.is_const() || d.value() < 0 || __builtin_mul_overflow(n, d.value(), &n) || n > kMostValues)
      return {};
    target.shape.push_back(d.value());
  }
  if (target.shape.size() > 1) return {};
  target.values.assign(static_cast<size_t>(n), Dim(0));
  return pointwise({in[0], target}, in[0].dtype,
                   [](const std::vector<Dim>& v) { return std::optional(v[0]); });
}

Folded fold_split(Context& c, const std::vector<Known>& in) {
  if (in[0].shape.size() != 1) return {};
  Ints sizes = c.ints_at(1, "split");
  const auto size = static_cast<int64_t>(in[0].values.size()), count = static_cast<int64_t>(c.outputs());
  if (sizes.empty() && count > 0) {
    const int64_t each = (size + count - 1) / count;
    for (int64_t i = 0; i < count; ++i) sizes.push_back(std::clamp<int64_t>(size - i * each, 0, each));
  }
  std::vector<Known> out;
  int64_t at = 0;
  for (int64_t n : sizes) {
    if (n < 0 || n > size - at) return {};
    out.push_back(vector_of(Shape(in[0].values.begin() + at, in[0].values.begin() + at + n), in[0].dtype));
    at += n;
  }
  return out;
}

template <class F>
Folded reduce(Context& c, const std::vector<Known>& in, F&& f) {
  const Known& from = in[0];
  if (from.shape.size() > 1) return {};
  const Ints axes = c.ints_at(1, "axes");
  if (axes.empty() && c.integer("noop_with_empty_axes", 0) != 0) return one(from);
  std::optional<Dim> value = f(from.values);
  if (!value) return {};
  const bool keep = c.integer("keepdims", 1) != 0 && !from.shape.empty();
  return one({keep ? Dims{1} : Dims{}, {std::move(*value)}, from.dtype});
}

template <class F>
FoldFn binary(F) {
  return [](Context&, const std::vector<Known>& in) -> Folded {
    if (in.size() != 2) return {};
    return pointwise(in, in[0].dtype,
                     [](const std::vector<Dim>& v) -> std::optional<Dim> { return F()(v[0], v[1]); });
  };
}

// Sums and products; what leaves int64 is left to the tensor operations, which wrap around.
std::optional<Dim> sum(const Dim& a, const Dim& b) {
  int64_t n = 0;
  if (a.is_const() && b.is_const() && __builtin_add_overflow(a.value(), b.value(), &n)) return {};
  return a + b;
}
std::optional<Dim> difference(const Dim& a, const Dim& b) {
  int64_t n = 0;
  if (a.is_const() && b.is_const() && __builtin_sub_overflow(a.value(), b.value(), &n)) return {};
  return a - b;
}
std::optional<Dim> multiple(const Dim& a, const Dim& b) {
  int64_t n = 0;
  if (a.is_const() && b.is_const() && __builtin_mul_overflow(a.value(), b.value(), &n)) return {};
  return a * b;
}
std::optional<Dim> quotient(const Dim& a, const Dim& b) {
  if (b == Dim(0)) return {};
  if (!a.is_const() || !b.is_const()) return floor_div(a, b);  // sizes: floor and truncation agree
  if (b.value() == -1) return difference(0, a);
  return Dim(a.value() / b.value());
}
std::optional<Dim> remainder(const Dim& a, const Dim& b) {
  if (b == Dim(0)) return {};
  return a - floor_div(a, b) * b;
}
std::optional<Dim> smaller(const Dim& a, const Dim& b) {
  const auto sign = order(a, b);
  return sign ? std::optional(*sign <= 0 ? a : b) : std::nullopt;
}
std::optional<Dim> larger(const Dim& a, const Dim& b) {
  const auto sign = order(a, b);
  return sign ? std::optional(*sign >= 0 ? a : b) : std::nullopt;
}

Folded fold_where(Context&, const std::vector<Known>& in) {
  return pointwise(in, in[1].dtype, [](const std::vector<Dim>& v) -> std::optional<Dim> {
    if (!v[0].is_const()) return {};
    return v[0].value() != 0 ? v[1] : v[2];
  });
}

Folded fold_mod(Context& c, const std::vector<Known>& in) {
  if (c.integer("fmod", 0) != 0) return {};
  return pointwise(in, in[0].dtype, [](const std::vector<Dim>& v) { return remainder(v[0], v[1]); });
}

const std::map<std::string_view, FoldFn>& folds() {
  using K = const std::vector<Known>&;
  using V = const std::vector<Dim>&;
  static const std::map<std::string_view, FoldFn> table{
      {"Shape", fold_shape},
      {"Size", fold_size},
      {"ConstantOfShape", fold_constant_of_shape},
      {"Concat", fold_concat},
      {"Gather", fold_gather},
      {"Slice", fold_slice},
      {"Unsqueeze", fold_unsqueeze},
      {"Squeeze", fold_squeeze},
      {"Reshape", fold_reshape},
      {"Transpose", fold_transpose},
      {"Cast", fold_cast},
      {"Range", fold_range},
      {"Expand", fold_expand},
      {"Split", fold_split},
      {"Where", fold_where},
      {"Mod", fold_mod},
      {"Identity", [](Context&, K in) { return one(in[0]); }},
      {"Add", binary([](const Dim& a, const Dim& b) { return sum(a, b); })},
      {"Sub", binary([](const Dim& a, const Dim& b) { return difference(a, b); })},
      {"Mul", binary([](const Dim& a, const Dim& b) { return multiple(a, b); })},
      {"Div", binary([](const Dim& a, const Dim& b) { return quotient(a, b); })},
      {"Min", binary([](const Dim& a, const Dim& b) { return smaller(a, b); })},
      {"Max", binary([](const Dim& a, const Dim& b) { return larger(a, b); })},
      {"Neg",
       [](Context&, K in) { return pointwise(in, in[0].dtype, [](V v) { return difference(0, v[0]); }); }},
      {"Equal", [](Context&, K in) { return compare(in, [](int s) { return s == 0; }); }},
      {"Less", [](Context&, K in) { return compare(in, [](int s) { return s < 0; }); }},
      {"LessOrEqual", [](Context&, K in) { return compare(in, [](int s) { return s <= 0; }); }},
      {"Greater", [](Context&, K in) { return compare(in, [](int s) { return s > 0; }); }},
      {"GreaterOrEqual", [](Context&, K in) { return compare(in, [](int s) { return s >= 0; }); }},
      {"ReduceSum",
       [](Context& c, K in) {
         return reduce(c, in, [](V v) {
           Dim sum = 0;
           for (const Dim& d : v) sum = sum + d;
           return std::optional(sum);
         });
       }},
      {"ReduceProd",
       [](Context& c, K in) { return reduce(c, in, [](V v) { return std::optional(product(v)); }); }},
      {"ReduceMax",
       [](Context& c, K in) {
         return reduce(c, in, [](V v) {
           std::optional<Dim> best = v.empty() ? std::nullopt : std::optional(v[0]);
           for (const Dim& d : v)
             if (best) best = larger(*best, d);
           return best;
         });
       }},
      {"ReduceMin",
       [](Context& c, K in) {
         return reduce(c, in, [](V v) {
           std::optional<Dim> best = v.empty() ? std::nullopt : std::optional(v[0]);
           for (const Dim& d : v)
             if (best) best = smaller(*best, d);
           return best;
         });
       }},
  };
  return table;
}

}  // namespace

std::optional<std::vector<Known>> fold_known(Context& c) {
  const auto fold = folds().find(c.op());
  if (fold == folds().end() || c.inputs() == 0) return {};
  std::vector<Known> in;
  const bool reads_values = c.op() != "Shape" && c.op() != "Size";
  for (size_t i = 0; reads_values && i < c.inputs(); ++i) {
    if (!c.has(i)) {
      in.push_back({{0}, {}, DType::i64});
      continue;
    }
    auto known = c.known(i);
    if (!known) return {};
    in.push_back(std::move(*known));
  }
  return fold->second(c, in);
}

}  // namespace fovea::onnx
