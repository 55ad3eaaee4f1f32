#include "graph/ir/op.h"

#include <algorithm>

#include "graph/build/tensor.h"

namespace fovea {

OpDecl& OpDecl::doc(std::string_view text) { return doc_ = text, *this; }
OpDecl& OpDecl::since(int version) { return version_ = version, *this; }
OpDecl& OpDecl::input(std::string_view name, Types types) {
  return inputs_.push_back({std::string(name), types}), *this;
}
OpDecl& OpDecl::optional_input(std::string_view name, Types types) {
  return inputs_.push_back({std::string(name), types, true, false}), *this;
}
OpDecl& OpDecl::variadic_input(std::string_view name, Types types) {
  return inputs_.push_back({std::string(name), types, false, true}), *this;
}
OpDecl& OpDecl::output(std::string_view name) { return outputs_.emplace_back(name), *this; }
OpDecl& OpDecl::attr(std::string_view name, AttrValue fallback, std::string_view doc) {
  return attrs_.push_back({std::string(name), std::move(fallback), false, std::string(doc)}), *this;
}
OpDecl& OpDecl::required_attr(std::string_view name, AttrValue example, std::string_view doc) {
  return attrs_.push_back({std::string(name), std::move(example), true, std::string(doc)}), *this;
}
OpDecl& OpDecl::infer(InferFn fn) { return infer_ = std::move(fn), *this; }
OpDecl& OpDecl::decompose(DecomposeFn fn) { return decompose_ = std::move(fn), *this; }
OpDecl& OpDecl::gradient(GradientFn fn) { return gradient_ = std::move(fn), *this; }
OpDecl& OpDecl::commutative() { return commutative_ = true, *this; }
OpDecl& OpDecl::view(ViewFn fn) { return view_ = std::move(fn), *this; }
OpDecl& OpDecl::keeps(std::string_view flag) { return keeps_ = flag, *this; }
OpDecl& OpDecl::random() { return random_ = true, *this; }
OpDecl& OpDecl::side_effect() { return side_effect_ = true, *this; }
OpDecl& OpDecl::not_differentiable() { return differentiable_ = false, *this; }
OpDecl& OpDecl::sample(std::vector<In> in, Attrs attrs) {
  return samples_.push_back({std::move(in), std::move(attrs), ""}), *this;
}
OpDecl& OpDecl::sample_error(std::vector<In> in, Attrs attrs, std::string_view part) {
  return error_samples_.push_back({std::move(in), std::move(attrs), std::string(part)}), *this;
}

namespace {

// A variadic operand is the last one that is declared; all that follow carry its name.
const std::string& operand_name(const OpDecl& op, size_t i) {
  return op.inputs()[std::min(i, op.inputs().size() - 1)].name;
}

// All operands but a leading condition share one type; `where` has its condition in front.
void infer_pointwise(InferContext& c, const DType* result) {
  Shape shape;
  DType dtype = DType::boolean;
  bool first = true;
  for (size_t i = 0; i < c.in.size(); ++i) {
    shape = c.broadcast(shape, c.shape(i));
    if (c.op.inputs()[i].types == Types::boolean && c.in.size() == 3) continue;
    if (!first && c.dtype(i) != dtype)
      c.fail("operands have different types " + std::string(to_string(dtype)) + " and " +
             std::string(to_string(c.dtype(i))) + ": cast one");
    dtype = c.dtype(i);
    first = false;
  }
  c.output(result ? *result : dtype, std::move(shape));
}

const char* describe(Types types) {
  switch (types) {
    case Types::any:
      return "of any type";
    case Types::floating:
      return "floating";
    case Types::integer:
      return "of an integer type";
    case Types::index:
      return "i32 or i64";
    case Types::boolean:
      return "bool";
    case Types::numeric:
      return "numeric";
  }
  return "";
}

}  // namespace

bool matches(Types types, DType t) {
  switch (types) {
    case Types::any:
      return true;
    case Types::floating:
      return is_floating(t);
    case Types::integer:
      return is_integer(t);
    case Types::index:
      return t == DType::i32 || t == DType::i64;
    case Types::boolean:
      return t == DType::boolean;
    case Types::numeric:
      return t != DType::boolean;
  }
  return false;
}

OpDecl& OpDecl::pointwise() {
  pointwise_ = true;
  return infer([](InferContext& c) { infer_pointwise(c, nullptr); });
}
OpDecl& OpDecl::pointwise(DType result) {
  pointwise_ = true;
  return infer([result](InferContext& c) { infer_pointwise(c, &result); });
}

int64_t InferContext::axis(std::string_view name, int64_t rank) {
  int64_t a = attrs.integer(name);
  if (a < -rank || a >= rank)
    fail(std::string(name) + " " + std::to_string(a) + " is out of range for rank " + std::to_string(rank));
  if (a < 0) a += rank;
  attrs.set(name, a);
  return a;
}

const Ints& InferContext::axes(std::string_view name, int64_t rank, bool empty_is_all) {
  Ints list = attrs.ints(name);
  if (list.empty() && empty_is_all)
    for (int64_t i = 0; i < rank; ++i) list.push_back(i);
  for (int64_t& a : list) {
    if (a < -rank || a >= rank)
      fail("axis " + std::to_string(a) + " is out of range for rank " + std::to_string(rank));
    if (a < 0) a += rank;
  }
  std::sort(list.begin(), list.end());
  if (auto twice = std::adjacent_find(list.begin(), list.end()); twice != list.end())
    fail("axis " + std::to_string(*twice) + " is given twice");
  attrs.set(name, list);
  return attrs.ints(name);
}

void InferContext::same(const Dim& a, const Dim& b, std::string_view what) {
  if (a == b) return;
  std::string text(what);
  auto put = [&text](std::string_view mark, const std::string& by) {
    if (size_t at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), by);
  };
  put("{a}", a.str());
  put("{b}", b.str());
  const Dim difference = a - b;
  if (difference.is_const()) fail(text);
  guards.push_back({a, b, false, op.name() + ": " + text, {}});
}

Shape InferContext::broadcast(const Shape& a, const Shape& b) {
  const Shape &longer = a.size() >= b.size() ? a : b, &shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  const size_t lead = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    const Dim &x = longer[lead + i], &y = shorter[i];
    if (x == y || y == Dim(1)) continue;
    if (x == Dim(1)) {
      out[lead + i] = y;
      continue;
    }
    fail("shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast: axis " +
         std::to_string(lead + i) + " is " + (a.size() >= b.size() ? x : y).str() + " against " +
         (a.size() >= b.size() ? y : x).str());
  }
  return out;
}

void InferContext::same_shape(size_t i, size_t j) {
  const std::string a = operand_name(op, i), b = operand_name(op, j);
  if (rank(i) != rank(j))
    fail(a + " and " + b + " differ in shape: rank " + std::to_string(rank(i)) + " against " +
         std::to_string(rank(j)));
  for (int64_t k = 0; k < rank(i); ++k)
    same(shape(i)[k], shape(j)[k],
         a + " and " + b + " differ in shape: axis " + std::to_string(k) + " is {a} against {b}");
}

void InferContext::same_dtype(size_t i, size_t j) {
  if (dtype(i) != dtype(j))
    fail(operand_name(op, i) + " is " + std::string(to_string(dtype(i))) + " but " + operand_name(op, j) +
         " is " + std::string(to_string(dtype(j))));
}

void InferContext::fail(std::string_view message) const {
  std::string text = op.name() + ": " + std::string(message);
  std::string operands;
  for (size_t i = 0; i < in.size() && i < 8; ++i) {
    const auto& names = op.inputs();
    const std::string name = names.empty() ? "" : names[std::min(i, names.size() - 1)].name;
    operands += (operands.empty() ? "" : ", ") + name + " " + to_string(in[i]);
  }
  if (!operands.empty()) text += "\n  operands: " + operands;
  invalid(text);
}

std::vector<TensorType> OpDecl::check(Attrs& attrs, std::span<const TensorType> in, const Module* module,
                                      std::vector<Guard>* guards) const {
  InferContext c(*this, attrs, in, module);
  size_t least = 0;
  bool variadic = false;
  for (const OperandDecl& o : inputs_) {
    least += !o.optional && !o.variadic;
    variadic = variadic || o.variadic;
  }
  if (in.size() < least || (!variadic && in.size() > inputs_.size()))
    c.fail("takes " + std::to_string(least) +
           (variadic                 ? " or more"
            : inputs_.size() > least ? " to " + std::to_string(inputs_.size())
                                     : "") +
           " operands, got " + std::to_string(in.size()));
  for (size_t i = 0; i < in.size(); ++i) {
    const OperandDecl& o = inputs_[std::min(i, inputs_.size() - 1)];
    if (!matches(o.types, in[i].dtype))
      c.fail(o.name + " must be " + describe(o.types) + ", got " + std::string(to_string(in[i].dtype)));
    if (in[i].shape.size() > 8)
      c.fail(o.name + " has rank " + std::to_string(in[i].shape.size()) + ", the most is 8");
    for (const Dim& d : in[i].shape)
      if (d.is_const() && d.value() < 0) c.fail(o.name + " has a negative size");
  }
  for (const AttrDecl& d : attrs_) {
    const AttrValue* v = attrs.find(d.name);
    if (!v) {
      if (d.required) c.fail("attribute '" + d.name + "' is missing");
      attrs.set(d.name, d.fallback);
    } else if (v->index() != d.fallback.index()) {
      // A plain number may be written without a point, and an empty list has no type of its own.
      if (std::holds_alternative<double>(d.fallback) && std::holds_alternative<int64_t>(*v))
        attrs.set(d.name, static_cast<double>(std::get<int64_t>(*v)));
      else if (std::holds_alternative<Shape>(d.fallback) && std::holds_alternative<Ints>(*v))
        attrs.set(d.name, to_shape(std::get<Ints>(*v)));
      else
        c.fail("attribute '" + d.name + "' = " + to_string(*v) + " is of another kind than " +
               to_string(d.fallback));
    }
  }
  for (const auto& [name, value] : attrs)
    if (std::none_of(attrs_.begin(), attrs_.end(), [&](const AttrDecl& d) { return d.name == name; }))
      c.fail("has no attribute '" + name + "'");
  infer_(c);
  for (const TensorType& t : c.out)
    for (const Dim& d : t.shape)
      if (d.is_const() && d.value() < 0) c.fail("the result would have the negative size " + d.str());
  if (guards) guards->insert(guards->end(), c.guards.begin(), c.guards.end());
  return std::move(c.out);
}

}  // namespace fovea
