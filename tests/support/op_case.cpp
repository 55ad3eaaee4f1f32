#include "tests/support/op_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "framework/tensor/epsilon.h"
#include "graph/build/builder.h"
#include "optim/lower/lowering.h"

namespace fovea::test {

std::vector<TensorType> OpCase::types() const {
  std::vector<TensorType> out;
  for (const In& i : in) out.push_back({i.type, to_shape(i.shape)});
  return out;
}

std::vector<TensorType> OpCase::infer(Attrs* normal) const {
  Attrs a = attrs;
  auto out = op->check(a, types(), nullptr, nullptr);
  if (normal) *normal = a;
  return out;
}

bool OpCase::valid() const {
  try {
    infer();
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string OpCase::str() const {
  std::string text = what + ":";
  for (const TensorType& t : types()) text += " " + to_string(t);
  text += " {";
  for (const auto& [name, value] : attrs) text += " " + name + " = " + to_string(value);
  return text + " }";
}

std::vector<OpCase> sample_cases(const OpDecl& op) {
  std::vector<OpCase> out;
  for (const Sample& s : op.samples())
    out.push_back({&op, op.name() + ", sample " + std::to_string(out.size()), s.in, s.attrs});
  return out;
}

bool is_structural(const OpDecl& op) {
  return op.name() == "input" || op.name() == "constant" ||
         std::any_of(op.attrs().begin(), op.attrs().end(),
                     [](const AttrDecl& a) { return std::holds_alternative<FunctionRef>(a.fallback); });
}

std::string op_name(const testing::TestParamInfo<const OpDecl*>& info) { return info.param->name(); }

std::optional<OpCase> with_dtype(const OpCase& c, DType dtype) {
  OpCase out = c;
  out.what += std::string(" in ") + std::string(to_string(dtype));
  bool changed = false;
  for (In& i : out.in) {
    if (!is_floating(i.type)) continue;
    changed = true;
    i.type = dtype;
    if (is_floating(dtype)) continue;
    i.distinct = false;
    i.low = dtype == DType::boolean || dtype == DType::u8 ? 0 : std::floor(i.low * 6);
    i.high = dtype == DType::boolean ? 2 : std::ceil(i.high * 6) + 1;
  }
  if (!changed) {  // an op of integers: the type of its first operand, and of those like it
    if (is_floating(dtype) || out.in.empty()) return std::nullopt;
    const DType old = out.in[0].type;
    for (In& i : out.in)
      if (i.type == old) {
        i.type = dtype;
        if (dtype == DType::boolean) i = i.range(0, 2);
        if (dtype == DType::u8) i = i.range(std::max(0.0, i.low), std::max(1.0, i.high));
      }
  }
  if (!out.valid()) return std::nullopt;
  return out;
}

namespace {

void add_sizes(const OpCase& c, std::set<int64_t>& sizes) {
  for (const In& i : c.in) sizes.insert(i.shape.begin(), i.shape.end());
  for (const auto& [name, value] : c.attrs)
    if (const Shape* s = std::get_if<Shape>(&value))
      for (const Dim& d : *s)
        if (d.is_const() && d.value() > 0) sizes.insert(d.value());
  sizes.erase(0);
  sizes.erase(1);
}

bool small_enough(const OpCase& c, int64_t most) {
  try {
    for (const TensorType& t : c.infer())
      if (product(evaluate(t.shape, {})) > most) return false;
    for (const In& i : c.in)
      if (product(i.shape) > most) return false;
    return true;
  } catch (const Error&) {
    return false;
  }
}

OpCase mapped(const OpCase& c, const std::map<int64_t, int64_t>& to) {
  const auto map = [&](int64_t v) {
    const auto at = to.find(v);
    return at == to.end() ? v : at->second;
  };
  OpCase out = c;
  for (In& i : out.in) {
    for (int64_t& d : i.shape) d = map(d);
    // indices stay inside the axis whose size was their bound
    if (is_integer(i.type) && i.high == std::floor(i.high) && i.low >= 0)
      i.high = std::max(i.low + 1, static_cast<double>(map(static_cast<int64_t>(i.high))));
  }
  for (const auto& [name, value] : c.attrs)
    if (const Shape* s = std::get_if<Shape>(&value)) {
      Shape sizes;
      for (const Dim& d : *s) sizes.push_back(map(d.value()));
      out.attrs.set(name, sizes);
    }
  return out;
}

}  // namespace

std::optional<OpCase> resized(const OpCase& c, const std::vector<int64_t>& sizes, std::mt19937& random,
                              int64_t most) {
  std::set<int64_t> from;
  add_sizes(c, from);
  if (from.empty()) return std::nullopt;
  for (int attempt = 0; attempt < 40; ++attempt) {
    std::map<int64_t, int64_t> to;
    for (int64_t v : from) {  // ascending: divisors come first
      std::vector<std::pair<int64_t, int64_t>> multiples;
      for (const auto& [u, replacement] : to)
        if (v % u == 0) multiples.emplace_back(v / u, replacement);
      if (!multiples.empty() && attempt % 2) {
        const auto& [factor, replacement] = multiples[random() % multiples.size()];
        to[v] = factor * replacement;
      } else {
        to[v] = sizes[random() % sizes.size()];
      }
    }
    OpCase out = mapped(c, to);
    if (!small_enough(out, most)) continue;
    out.what += ", resized";
    return out;
  }
  return std::nullopt;
}

std::vector<Array> operands(const OpCase& c, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Array> out;
  for (const In& in : c.in) {
    Array a(DType::f64, in.shape);
    double* p = static_cast<double*>(a.raw());
    const int64_t n = a.size();
    std::uniform_real_distribution<double> uniform(in.low, in.high);
    for (int64_t i = 0; i < n; ++i)
      p[i] = in.distinct
                 ? in.low + (in.high - in.low) * (static_cast<double>(i) + 0.5) / static_cast<double>(n)
             : is_floating(in.type) ? uniform(random)
                                    : std::min(std::floor(uniform(random)), in.high - 1);
    if (in.distinct) std::shuffle(p, p + n, random);
    out.push_back(a.cast(in.type));
  }
  make_consistent(c, out);
  return out;
}

void make_consistent(const OpCase& c, std::vector<Array>& in) {
  if (!c.op || c.op->name() != "attention_backward") return;
  enum { kResult = 3, kLse, kRest, kResults = 7 };
  const bool has_dlse = c.attrs.has("lse_gradient") && c.attrs.flag("lse_gradient");
  const size_t leaf = has_dlse ? kResults + 1 : kResults;
  OpCase forward{&find_op("attention"), c.what, {}, {}};
  std::vector<Array> given;
  for (size_t i = 0; i < in.size(); ++i) {
    if (i >= kResult && i < leaf) continue;
    forward.in.push_back(c.in[i]);
    given.push_back(in[i]);
  }
  for (const char* name : {"score", "factor", "sink", "guard", "order"})
    if (const AttrValue* value = c.attrs.find(name)) forward.attrs.set(name, *value);
  const std::vector<Array> results = run_case(widened(forward), "reference", widened(given));
  in[kResult] = results[0].cast(in[kResult].dtype());
  in[kLse] = results[1].cast(in[kLse].dtype());
  Array rest(DType::f64, results[1].shape());  // what rounding took
  const Array exact = results[1].contiguous(), rounded = in[kLse].contiguous();
  for (int64_t i = 0; i < rest.size(); ++i) rest.set_flat(i, exact.get_flat(i) - rounded.get_flat(i));
  in[kRest] = rest.cast(in[kRest].dtype());
}

std::vector<Array> widened(const std::vector<Array>& in) {
  std::vector<Array> out;
  for (const Array& a : in) out.push_back(is_floating(a.dtype()) ? a.cast(DType::f64) : a);
  return out;
}

OpCase widened(OpCase c) {
  for (In& i : c.in)
    if (is_floating(i.type)) i.type = DType::f64;
  return c;
}

Array with_layout(const Array& a, Layout layout) {
  if (a.rank() == 0 || a.size() == 0) return a;
  switch (layout) {
    case Layout::row_major:
      return a;
    case Layout::transposed: {  // memory in the order of reversed axes
      std::vector<int64_t> back;
      for (int64_t i = a.rank(); i-- > 0;) back.push_back(i);
      return a.permute(back).copy().permute(back);
    }
    case Layout::stepped: {  // every other element of a larger array, from its second on, the first axis
                             // backwards
      Dims larger = a.shape();
      larger.back() = 2 * larger.back() + 1;
      Array wide(a.dtype(), larger);
      std::memset(wide.raw(), 0xff, static_cast<size_t>(wide.nbytes()));
      Array view = wide.slice(a.rank() - 1, 1, larger.back(), 2);
      Dims strides = view.strides();
      const int64_t first = view.offset() + strides[0] * (a.shape()[0] - 1);
      strides[0] = -strides[0];
      Array out(view.buffer(), a.dtype(), a.shape(), strides, first);
      for (int64_t i = 0; i < a.size(); ++i) out.set_flat(i, a.get_flat(i));
      return out;
    }
    case Layout::broadcast:
      return a.slice(0, 0, 1).broadcast_to(a.shape());
  }
  return a;
}

std::unique_ptr<Program> program_of(const OpCase& c, const std::string& backend,
                                    std::vector<std::pair<int, int>> donate) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  for (const TensorType& t : c.types()) args.push_back(builder->input("", t));
  for (const Tensor& y : builder->add(*c.op, args, c.attrs, {})) builder->output("", y);
  builder->finish();
  CompileOptions options;
  options.backend = backend;
  options.optimise = false;  // the op itself, not what passes make of it
  options.donate = std::move(donate);
  return std::make_unique<Program>(module, "f", options);
}

std::vector<Array> guarded_run(const Plan& plan, const std::vector<Array>& in) {
  constexpr int64_t kGuard = 64;
  std::vector<const void*> from;
  for (const Array& a : in) from.push_back(a.raw());
  std::vector<std::shared_ptr<Buffer>> buffers;
  std::vector<void*> to;
  for (const PlanOperand& o : plan.outputs) {
    buffers.push_back(Buffer::allocate(product(o.shape) * size_of(o.dtype) + 2 * kGuard));
    std::memset(buffers.back()->data(), 0xff, static_cast<size_t>(buffers.back()->bytes()));
    to.push_back(static_cast<char*>(buffers.back()->data()) + kGuard);
  }
  plan.run(from.data(), to.data());
  std::vector<Array> out;
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const PlanOperand& o = plan.outputs[i];
    const auto* bytes = static_cast<const unsigned char*>(buffers[i]->data());
    for (int64_t k = 0; k < kGuard; ++k)
      EXPECT_TRUE(bytes[k] == 0xff && bytes[buffers[i]->bytes() - 1 - k] == 0xff)
          << "result " << i << " was written outside its memory, within " << k << " bytes of a guard's end";
    out.emplace_back(buffers[i], o.dtype, o.shape, contiguous_strides(o.shape), kGuard / size_of(o.dtype));
  }
  return out;
}

std::vector<Array> run_case(const OpCase& c, const std::string& backend, const std::vector<Array>& in) {
  return guarded_run(*program_of(c, backend)->plan(in), in);
}

KernelRequest request_of(const OpCase& c, const std::vector<Array>& in) {
  KernelRequest r{c.op->name(), {}, {}, {}};
  Attrs attrs;
  for (const TensorType& t : c.infer(&attrs)) {
    const Dims shape = evaluate(t.shape, {});
    r.out.push_back({t.dtype, shape, contiguous_strides(shape)});
  }
  r.attrs = for_kernel(concrete(attrs, {}));
  for (const Array& a : in)
    r.in.push_back({a.dtype(), a.shape(), a.is_contiguous() ? contiguous_strides(a.shape()) : a.strides()});
  return r;
}

const Kernel* kernel_for(const KernelRequest& request) {
  for (const Kernel* k : kernels_for("cpu", request.op))
    if (k->refusal(request).empty()) return k;
  return nullptr;
}

namespace {

std::string number(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", v);
  return text;
}

std::string type_difference(const Array& a, const Array& b, bool dtypes) {
  if (a.shape() != b.shape()) return "shape " + to_string(a.shape()) + " against " + to_string(b.shape());
  if (dtypes && a.dtype() != b.dtype())
    return "type " + std::string(to_string(a.dtype())) + " against " + std::string(to_string(b.dtype()));
  return {};
}

}  // namespace

std::string difference(const Array& got, const Array& want, Tolerance tolerance, double* ulps_seen) {
  if (std::string t = type_difference(got, want, !is_floating(got.dtype())); !t.empty()) return t;
  if (!is_floating(got.dtype())) {
    const auto a = got.to_vector<int64_t>(), b = want.to_vector<int64_t>();
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i] != b[i])
        return "element " + std::to_string(i) + ": got " + std::to_string(a[i]) + ", expected " +
               std::to_string(b[i]);
    return {};
  }
  const auto a = got.to_vector<double>(), b = want.to_vector<double>();
  const auto rounded = want.cast(got.dtype()).to_vector<double>();
  const double eps = epsilon(got.dtype());
  const double tiny = got.dtype() == DType::f16 ? 0x1p-14 : got.dtype() == DType::f64 ? 0x1p-1022 : 0x1p-126;
  double largest = 0;
  for (double v : b)
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || a[i] == rounded[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double unit = eps * std::max({std::abs(b[i]), tolerance.floor * largest, tiny});
    const double off = std::abs(a[i] - b[i]), ulps = off / unit;
    if (off <= tolerance.absolute * eps) continue;
    if (ulps_seen && !(ulps <= *ulps_seen)) *ulps_seen = ulps;
    if (!(ulps <= tolerance.ulps))
      return "element " + std::to_string(i) + " of " + std::string(to_string(got.dtype())) +
             to_string(got.shape()) + ": got " + number(a[i]) + ", expected " + number(b[i]) + " (off by " +
             number(ulps) + " ulps, " + number(tolerance.ulps) + " allowed)";
  }
  return {};
}

std::string bit_difference(const Array& a, const Array& b) {
  if (std::string t = type_difference(a, b, true); !t.empty()) return t;
  const Array x = a.contiguous(), y = b.contiguous();
  const auto *p = static_cast<const char*>(x.raw()), *q = static_cast<const char*>(y.raw());
  const auto size = static_cast<size_t>(size_of(a.dtype()));
  for (int64_t i = 0; i < a.size(); ++i)
    if (std::memcmp(p + i * size, q + i * size, size) != 0)
      return "element " + std::to_string(i) + " of " + std::string(to_string(a.dtype())) +
             to_string(a.shape()) + ": " + number(x.get_flat(i)) + " against " + number(y.get_flat(i));
  return {};
}

}  // namespace fovea::test
