#include "optim/attention/reader.h"

#include <algorithm>
#include <cmath>

#include "graph/build/builder.h"

namespace fovea::match {
namespace {

constexpr size_t kMostValues = 4096;  // of one expression
constexpr int kDeepest = 8;           // decompositions within decompositions

bool is_costly(Code c) {
  switch (c) {
    case Code::exp:
    case Code::expm1:
    case Code::log:
    case Code::log1p:
    case Code::tanh:
    case Code::sigmoid:
    case Code::erf:
    case Code::sin:
    case Code::cos:
    case Code::pow:
      return true;
    default:
      return false;
  }
}

// Padding that neither crops nor spreads.
bool is_growing_pad(const Node& n) {
  if (n.op->name() != "pad") return false;
  const auto grows = [](const Dim& d) { return d.is_const() && d.value() >= 0; };
  const Shape &low = n.attrs.shape("low"), &high = n.attrs.shape("high");
  const Ints& interior = n.attrs.ints("interior");
  return std::all_of(low.begin(), low.end(), grows) && std::all_of(high.begin(), high.end(), grows) &&
         std::all_of(interior.begin(), interior.end(), [](int64_t k) { return k == 0; });
}

double rounded(double x, DType dtype) { return Array::full(DType::f64, {}, x).cast(dtype).item(); }

}  // namespace

Kind kind_of(DType dtype) {
  return is_floating(dtype) ? Kind::real : dtype == DType::boolean ? Kind::boolean : Kind::integer;
}

int32_t Reader::leaf(const Ref& ref) { return e_.leaf(ref, kind_of(view_.dtype(ref.value))); }

bool Reader::dense(const Ref& ref) const {
  const Labels labels = table_.resolve(flat(ref.layout));
  return contains_any(labels, table_.resolve(keys_)) && contains_any(labels, table_.resolve(rows_));
}

// Small tensors are computed once, outside; so are costly ones that are shared by several heads.
bool Reader::belongs_outside(const Ref& ref, int32_t e) const {
  const Expr x = e_.at(e);
  if (!leaves_outside_ || x.has_product || x.code == Code::constant || x.code == Code::input) return false;
  if (dense(ref)) {
    const bool shared = !contains_all(table_.resolve(flat(ref.layout)), table_.resolve(space_));
    return is_costly(x.code) && shared && !x.has_random;
  }
  if (x.has_place || (x.code == Code::logical_not && e_.at(x.a).code == Code::input)) return false;
  return x.has_value && !(x.has_index && x.kind != Kind::real);
}

int32_t Reader::read(const Ref& ref) {
  std::vector<Frame> stack;
  std::optional<int32_t> result;
  const auto enter = [&](const Ref& r) {
    Frame f{r, key_of(table_, r.value, r.layout), {}, {}};
    if (const auto at = known_.find(f.key); at != known_.end()) {
      result = at->second;
      return;
    }
    result = known_.size() < kMostValues ? open(f) : leaf(r);
    if (result)
      known_[f.key] = *result;
    else
      stack.push_back(std::move(f));
  };
  enter(ref);
  while (!stack.empty()) {
    Frame& top = stack.back();
    if (result) {
      top.got.push_back(*result);
      result.reset();
    }
    if (top.got.size() < top.needs.size()) {
      const Ref next = top.needs[top.got.size()];
      enter(next);
      continue;
    }
    int32_t e = close(top);
    if (belongs_outside(top.ref, e)) e = leaf(top.ref);
    known_[top.key] = e;
    result = e;
    stack.pop_back();
  }
  return *result;
}

std::optional<int32_t> Reader::open_constant(const Ref& ref) {
  const DType dtype = view_.dtype(ref.value);
  if (const auto n = view_.number(ref.value)) {
    if (is_floating(dtype)) return e_.constant(*n);
    if (dtype == DType::boolean) return e_.boolean(*n != 0);
    return std::fabs(*n) < 1e15 ? e_.integer(static_cast<int64_t>(*n)) : leaf(ref);
  }
  const Node& n = view_.node(ref.value);
  if (view_.role(ref.value) == Role::constant) {
    const ConstantForm& form = forms_.of(n.attrs.integer("index"));
    if (const auto e = express(form, e_, kind_of(dtype), view_.shape(ref.value), ref.layout)) return e;
    return leaf(ref);
  }
  const int32_t place = e_.place(ref.layout[static_cast<size_t>(n.attrs.integer("axis"))]);
  return is_floating(dtype) ? e_.unary(Code::to_real, place) : place;
}

std::optional<int32_t> Reader::open_random(const Ref& ref) {
  const Node& n = view_.node(ref.value);
  const int32_t bits = e_.random(n.inputs[0], n.attrs.integer("ordinal"), ref);
  if (n.op->name() == "rand_bits") return bits;
  if (n.op->name() == "bernoulli") return e_.below(bits, n.attrs.number("p"));
  // The upper 24 bits of bits + 2^31, times 2^-24.
  const int32_t whole = e_.binary(Code::add, bits, e_.integer(int64_t{1} << 31));
  const int32_t upper = e_.binary(Code::floor_div, whole, e_.integer(256));
  return e_.binary(Code::mul, e_.unary(Code::to_real, upper), e_.constant(std::ldexp(1.0, -24)));
}

// A contraction may make scores where the keys come from one of its operands alone.
std::optional<int32_t> Reader::open_product(const Ref& ref) {
  if (!is_floating(view_.dtype(ref.value))) return std::nullopt;
  auto c = contraction_at(view_, table_, ref);
  if (!c) return std::nullopt;
  const Labels keys = table_.resolve(keys_);
  const bool a = contains_any(table_.resolve(flat(c->a.layout)), keys),
             b = contains_any(table_.resolve(flat(c->b.layout)), keys);
  if (a == b) return std::nullopt;
  if (a) std::swap(c->a, c->b);  // a: queries, b: keys
  c->swapped = a;
  return e_.product(*c, ref);
}

std::optional<int32_t> Reader::open(Frame& f) {
  const Ref& ref = f.ref;
  const Node& n = view_.node(ref.value);
  switch (view_.role(ref.value)) {
    case Role::full:
    case Role::constant:
    case Role::iota:
      return open_constant(ref);
    case Role::random:
      return open_random(ref);
    case Role::matmul:
    case Role::linear:
    case Role::einsum:
    case Role::sum: {
      const auto e = open_product(ref);
      return e ? *e : leaf(ref);
    }
    case Role::same:
    case Role::reshape:
    case Role::permute:
    case Role::broadcast:
    case Role::slice:
    case Role::unstack: {
      if (view_.number(ref.value)) return open_constant(ref);
      auto behind = behind_view(view_, table_, ref);
      if (!behind) return leaf(ref);
      f.needs.push_back(std::move(*behind));
      return std::nullopt;
    }
    case Role::other: {
      if (!is_growing_pad(n)) return leaf(ref);
      Layout inside = ref.layout;
      for (size_t d = 0; d < inside.size(); ++d) inside[d].start = inside[d].start - n.attrs.shape("low")[d];
      f.needs.push_back({n.inputs[0], std::move(inside)});
      return std::nullopt;
    }
    case Role::stop_gradient:
    case Role::triangle:
    case Role::dropout:
      f.needs.push_back({n.inputs[0], ref.layout});
      return std::nullopt;
    case Role::softmax:
    case Role::log_softmax:
    case Role::logsumexp:
    case Role::max:
    case Role::shift:
    case Role::concat:
    case Role::input:
      return leaf(ref);
    default:
      break;
  }
  if (view_.graph.nodes[static_cast<size_t>(ref.value.node)].outputs.size() != 1) return leaf(ref);
  for (size_t i = 0; i < n.inputs.size(); ++i) f.needs.push_back(operand(view_, ref, i));
  return std::nullopt;
}

int32_t Reader::close(const Frame& f) {
  const Node& n = view_.node(f.ref.value);
  const int32_t x = f.got[0];
  switch (view_.role(f.ref.value)) {
    case Role::slice:
    case Role::unstack:
      return e_.at(x).code == Code::input && !e_.at(x).has_product ? leaf(f.ref) : x;
    case Role::same:
    case Role::reshape:
    case Role::permute:
    case Role::broadcast:
      return x;
    case Role::stop_gradient:
      return e_.at(x).has_product || (e_.at(x).has_value && e_.at(x).kind == Kind::real) ? leaf(f.ref) : x;
    case Role::other:
      return padded(n, f.ref, x);
    case Role::triangle: {
      const Layout& l = f.ref.layout;
      const int32_t row =
          e_.binary(Code::add, e_.place(l[l.size() - 2]), e_.integer(n.attrs.integer("diagonal")));
      const int32_t column = e_.place(l.back());
      const bool lower = n.op->name() == "tril";
      const int32_t inside =
          lower ? e_.binary(Code::less_equal, column, row) : e_.binary(Code::less_equal, row, column);
      const Kind kind = e_.at(x).kind;
      const int32_t zero = kind == Kind::real      ? e_.constant(0)
                           : kind == Kind::integer ? e_.integer(0)
                                                   : e_.boolean(false);
      return e_.select(inside, x, zero);
    }
    case Role::dropout: {
      const double p = n.attrs.number("p");
      if (p <= 0) return x;
      if (static_cast<float>(p) >= 1) return e_.constant(0);
      const int32_t bits = e_.random(n.inputs[1], n.attrs.integer("ordinal"), f.ref);
      return e_.binary(Code::mul, x, e_.select(e_.below(bits, p), e_.constant(0), e_.constant(1 / (1 - p))));
    }
    case Role::cast: {
      const auto e = converted(x, view_.dtype(n.inputs[0]), view_.dtype(f.ref.value));
      return e ? *e : leaf(f.ref);
    }
    default: {
      const auto e = elementwise(n, f.got);
      return e ? *e : leaf(f.ref);
    }
  }
}

// What is read beyond the operand is the number that pads it.
int32_t Reader::padded(const Node& n, const Ref& ref, int32_t x) {
  const Shape &low = n.attrs.shape("low"), &high = n.attrs.shape("high"), &size = view_.shape(n.inputs[0]);
  int32_t inside = e_.boolean(true);
  const auto also = [&](int32_t condition) { inside = e_.binary(Code::logical_and, inside, condition); };
  for (size_t d = 0; d < low.size(); ++d) {
    if (low[d] == Dim(0) && high[d] == Dim(0)) continue;
    const int32_t at = e_.place(ref.layout[d]);
    if (low[d] != Dim(0)) also(e_.binary(Code::less_equal, e_.extent(low[d]), at));
    if (high[d] != Dim(0)) also(e_.binary(Code::less_equal, at, e_.extent(low[d] + size[d] - Dim(1))));
  }
  const double value = n.attrs.number("value");
  const Kind kind = e_.at(x).kind;
  return e_.select(inside, x,
                   kind == Kind::real      ? e_.constant(value)
                   : kind == Kind::boolean ? e_.boolean(value != 0)
                                           : e_.integer(static_cast<int64_t>(value)));
}

std::optional<int32_t> Reader::converted(int32_t x, DType from, DType to) {
  const Expr e = e_.at(x);
  if (to == DType::boolean) return e_.unary(Code::to_boolean, x);
  if (is_floating(to)) {
    if (is_floating(from)) return e.code == Code::constant ? e_.constant(rounded(e.number, to)) : x;
    return e_.unary(Code::to_real, x);
  }
  if (is_floating(from) || from == DType::boolean) {
    // Only integers wide enough for what is counted here; others wrap around.
    if (size_of(to) < 4 && from != DType::boolean) return std::nullopt;
    return e_.unary(Code::to_integer, x);
  }
  const bool fits = size_of(to) >= size_of(from) || (size_of(to) >= 4 && !e.has_value && !e.has_random);
  return fits ? std::optional<int32_t>(x) : std::nullopt;
}

std::optional<int32_t> Reader::elementwise(const Node& n, const std::vector<int32_t>& in, int depth) {
  const std::string& name = n.op->name();
  const auto kind = [&](size_t i) { return e_.at(in[i]).kind; };
  if (name == "where") return e_.select(in[0], in[1], in[2]);
  if (name == "greater") return e_.binary(Code::less, in[1], in[0]);
  if (name == "greater_equal") return e_.binary(Code::less_equal, in[1], in[0]);
  if (name == "is_nan") return e_.unary(Code::is_nan, in[0]);
  if (name == "clip") {
    const bool real = kind(0) == Kind::real;
    const double low = n.attrs.number("low"), high = n.attrs.number("high");
    const auto bound = [&](double x) { return real ? e_.constant(x) : e_.integer(static_cast<int64_t>(x)); };
    int32_t y = in[0];
    if (real) {  // at its bounds clip passes the whole gradient, where maximum passes half
      if (std::isfinite(low)) y = e_.select(e_.binary(Code::less, y, bound(low)), bound(low), y);
      if (std::isfinite(high)) y = e_.select(e_.binary(Code::less, bound(high), y), bound(high), y);
      return y;
    }
    if (std::isfinite(low)) y = e_.binary(Code::maximum, y, bound(low));
    if (std::isfinite(high)) y = e_.binary(Code::minimum, y, bound(high));
    return y;
  }
  // At 0 relu passes no gradient, where maximum passes half.
  if (name == "relu" && kind(0) == Kind::real)
    return e_.select(e_.binary(Code::less_equal, in[0], e_.constant(0)), e_.constant(0), in[0]);
  Code code = Code::constant;
  if (tiles::code_of_op(name, code)) {
    if (in.size() == 1) return e_.unary(code, in[0]);
    if (code == Code::div && kind(0) != Kind::real) return std::nullopt;
    if (in.size() == 2 && kind(0) == kind(1)) return e_.binary(code, in[0], in[1]);
  }
  return composite(n, in, depth);
}

// An elementwise op in terms of others: its decomposition, read on scalars.
std::optional<int32_t> Reader::composite(const Node& n, const std::vector<int32_t>& in, int depth) {
  if (!n.op->is_pointwise() || n.op->is_core() || depth > kDeepest) return std::nullopt;
  const auto scratch = std::make_shared<Module>();
  const auto builder = Builder::make(scratch, "elementwise");
  const TraceScope trace(builder);
  std::vector<Tensor> operands;
  for (size_t i = 0; i < in.size(); ++i) {
    const Kind k = e_.at(in[i]).kind;
    const DType dtype = k == Kind::real ? DType::f64 : k == Kind::integer ? DType::i64 : DType::boolean;
    operands.push_back(builder->input("x" + std::to_string(i), {dtype, {}}));
  }
  const std::vector<Tensor> out = n.op->decompose_fn()({operands, n.attrs});
  const Graph& g = builder->graph();
  std::vector<int32_t> value(g.nodes.size(), -1);
  for (size_t id = 0, next = 0; id < g.nodes.size(); ++id) {
    const Node& node = g.nodes[id];
    const std::string& name = node.op->name();
    std::vector<int32_t> args;
    for (const Value& v : node.inputs) args.push_back(value[static_cast<size_t>(v.node)]);
    std::optional<int32_t> e;
    const DType dtype = node.outputs[0].dtype;
    if (name == "input") {
      e = in[next++];
    } else if (name == "full") {
      const double x = node.attrs.number("value");
      e = is_floating(dtype)        ? e_.constant(x)
          : dtype == DType::boolean ? e_.boolean(x != 0)
                                    : e_.integer(static_cast<int64_t>(x));
    } else if (name == "cast") {
      e = converted(args[0], g.type(node.inputs[0]).dtype, dtype);
    } else if (node.op->is_pointwise() && node.outputs.size() == 1) {
      e = elementwise(node, args, depth + 1);
    }
    if (!e) return std::nullopt;
    value[id] = *e;
  }
  return value[static_cast<size_t>(out[0].value().node)];
}

}  // namespace fovea::match
