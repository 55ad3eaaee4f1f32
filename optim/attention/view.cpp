#include "optim/attention/view.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "graph/ir/op.h"
#include "optim/attention/values.h"

namespace fovea::match {
namespace {

const std::unordered_map<const OpDecl*, Role>& known_roles() {
  static const auto* roles = [] {
    const std::pair<const char*, Role> names[] = {
        {"reshape", Role::reshape},
        {"permute", Role::permute},
        {"broadcast_to", Role::broadcast},
        {"slice", Role::slice},
        {"unstack", Role::unstack},
        {"concat", Role::concat},
        {"identity", Role::same},
        {"copy", Role::same},
        {"debug_print", Role::same},
        {"stop_gradient", Role::stop_gradient},
        {"cast", Role::cast},
        {"matmul", Role::matmul},
        {"linear", Role::linear},
        {"einsum", Role::einsum},
        {"sum", Role::sum},
        {"max", Role::max},
        {"min", Role::shift},
        {"mean", Role::shift},
        {"softmax", Role::softmax},
        {"log_softmax", Role::log_softmax},
        {"logsumexp", Role::logsumexp},
        {"exp", Role::exp},
        {"log", Role::log},
        {"add", Role::add},
        {"sub", Role::sub},
        {"mul", Role::mul},
        {"div", Role::div},
        {"neg", Role::neg},
        {"reciprocal", Role::reciprocal},
        {"where", Role::where},
        {"maximum", Role::maximum},
        {"clip", Role::clip},
        {"dropout", Role::dropout},
        {"bernoulli", Role::random},
        {"uniform", Role::random},
        {"rand_bits", Role::random},
        {"iota", Role::iota},
        {"full", Role::full},
        {"constant", Role::constant},
        {"tril", Role::triangle},
        {"triu", Role::triangle},
        {"input", Role::input},
    };
    auto* map = new std::unordered_map<const OpDecl*, Role>;
    for (const auto& [name, role] : names)
      if (const OpDecl* op = lookup_op(name)) map->emplace(op, role);
    return map;
  }();
  return *roles;
}

bool passes_taint(Role r) {
  switch (r) {
    case Role::other:
    case Role::matmul:
    case Role::linear:
    case Role::einsum:
    case Role::max:
    case Role::shift:
    case Role::softmax:
    case Role::log_softmax:
    case Role::iota:
    case Role::full:
    case Role::constant:
    case Role::input:
    case Role::random:
      return false;
    default:
      return true;
  }
}

bool is_exponential(Role r) {
  return r == Role::softmax || r == Role::log_softmax || r == Role::logsumexp || r == Role::exp ||
         r == Role::power;
}

bool passes_weight(Role r) {
  switch (r) {
    case Role::reshape:
    case Role::permute:
    case Role::broadcast:
    case Role::slice:
    case Role::same:
    case Role::cast:
    case Role::mul:
    case Role::div:
    case Role::neg:
      return true;
    default:
      return false;
  }
}

bool passes_shift(Role r) {
  switch (r) {
    case Role::reshape:
    case Role::permute:
    case Role::broadcast:
    case Role::slice:
    case Role::same:
    case Role::stop_gradient:
    case Role::cast:
    case Role::add:
    case Role::sub:
    case Role::mul:
    case Role::div:
    case Role::neg:
    case Role::where:
    case Role::maximum:
    case Role::clip:
      return true;
    default:
      return false;
  }
}
bool makes_shift(Role r) {
  return r == Role::max || r == Role::shift || r == Role::sum || r == Role::logsumexp ||
         r == Role::log_softmax || r == Role::log || r == Role::concat;
}

}  // namespace

View::View(const Graph& g, const Module& m) : graph(g), module(m) {
  const auto& roles = known_roles();
  const OpDecl* last = nullptr;
  Role role = Role::other;
  roles_.reserve(g.nodes.size());
  for (const Node& n : g.nodes) {
    if (n.op != last) {
      last = n.op;
      const auto at = roles.find(n.op);
      role = at != roles.end() ? at->second : n.op->is_pointwise() ? Role::pointwise : Role::other;
    }
    roles_.push_back(role);
    if (role == Role::pointwise && n.op->name() == "pow") {
      const auto base = number(n.inputs[0]);
      if (base && *base > 0 && *base != 1) roles_.back() = Role::power;
    }
    role = roles_.back();
    has_exponential_ = has_exponential_ || is_exponential(role);
    if (role == Role::power) last = nullptr;
  }
}

void View::prepare() {
  canonical_ = equal_values(*this);
  find_transposed();
  tainted_.assign(graph.nodes.size(), false);
  weighted_.assign(graph.nodes.size(), false);
  shifted_.assign(graph.nodes.size(), false);
  uses_.assign(graph.nodes.size(), {});
  std::vector<bool> scored(graph.nodes.size(), false);  // a product lies above
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    bool taint = is_exponential(roles_[id]);
    for (const Value& v : graph.nodes[id].inputs) {
      taint = taint || (passes_taint(roles_[id]) && tainted_[v.node]);
      std::vector<NodeId>& uses = uses_[v.node];
      if (uses.empty() || uses.back() != static_cast<NodeId>(id)) uses.push_back(static_cast<NodeId>(id));
    }
    tainted_[id] = taint;
    const Role r = roles_[id];
    const bool product = is_contraction(r);
    bool below_product = false;
    for (const Value& v : graph.nodes[id].inputs) below_product = below_product || scored[v.node];
    scored[id] = product || below_product;
    // Shifts of a bias alone, and masks put together, stay as they are: taken apart, large numbers would
    // cancel.
    const bool adds_one = r == Role::pointwise && graph.nodes[id].op->name() == "softplus";
    const bool logarithm = r == Role::log || r == Role::log_softmax || r == Role::logsumexp;
    shifted_[id] = makes_shift(r) && (below_product || logarithm);
    for (const Value& v : graph.nodes[id].inputs)
      if ((passes_shift(r) || adds_one) && shifted_[v.node]) shifted_[id] = true;
    for (const Value& v : graph.nodes[id].inputs)
      if ((product && tainted_[v.node]) || (passes_weight(r) && weighted_[v.node])) weighted_[id] = true;
  }
}

bool View::is_nothing(NodeId id) const {
  const Node& n = graph.nodes[id];
  if (n.inputs.empty() || n.inputs[0].index != 0) return false;
  switch (roles_[id]) {
    case Role::same:
      return !n.attrs.has("barrier") || !n.attrs.flag("barrier");
    case Role::permute: {
      const Ints& axes = n.attrs.ints("axes");
      return std::is_sorted(axes.begin(), axes.end());
    }
    case Role::reshape:
    case Role::broadcast:
      return shape(n.inputs[0]) == n.outputs[0].shape;
    default:
      return false;
  }
}

void View::find_transposed() {
  using Operand = std::tuple<NodeId, int32_t, Ints>;  // a value, and which of its axes is read as which
  const auto operand = [&](Value v) {
    Ints axes(shape(v).size());
    std::iota(axes.begin(), axes.end(), 0);
    for (;;) {
      const Node& n = node(v);
      if (!is_nothing(v.node)) {
        if (role(v) != Role::permute) break;
        for (int64_t& axis : axes) axis = n.attrs.ints("axes")[static_cast<size_t>(axis)];
      }
      v = n.inputs[0];
    }
    const Value c = canonical(v);
    return Operand{c.node, c.index, std::move(axes)};
  };
  const auto turned = [](Operand x) {
    Ints& axes = std::get<Ints>(x);
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    return x;
  };
  std::map<std::pair<Operand, Operand>, NodeId> seen;
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    const Node& n = graph.nodes[id];
    if (roles_[id] != Role::matmul || shape(n.inputs[0]).size() < 2 ||
        shape(n.inputs[0]).size() != shape(n.inputs[1]).size())
      continue;
    const Operand a = operand(n.inputs[0]), b = operand(n.inputs[1]);
    if (const auto at = seen.find({turned(b), turned(a)}); at != seen.end())
      transposed_.emplace(static_cast<NodeId>(id), at->second);
    else
      seen.emplace(std::pair(a, b), static_cast<NodeId>(id));
  }
}

std::optional<double> View::number(Value v) const {
  Value at = v;
  std::optional<double> found;
  std::vector<std::pair<Role, DType>> changes;  // last first
  for (int steps = 0; steps < 64; ++steps) {
    const Role r = role(at);
    const Node& n = node(at);
    if (r == Role::reshape || r == Role::broadcast || r == Role::permute || r == Role::slice ||
        r == Role::same || r == Role::stop_gradient) {
      at = n.inputs[0];
    } else if (r == Role::cast || r == Role::reciprocal || r == Role::neg) {
      changes.emplace_back(r, dtype(at));
      at = n.inputs[0];
    } else {
      break;
    }
  }
  if (role(at) == Role::full) {
    found = node(at).attrs.number("value");
    changes.emplace_back(Role::cast, dtype(at));
  } else if (role(at) == Role::constant) {
    const int64_t index = node(at).attrs.integer("index");
    auto [entry, fresh] = numbers_.try_emplace(index);
    if (fresh) {
      const Array& a = module.constants[static_cast<size_t>(index)];
      if (a.size() >= 1 && a.size() <= (int64_t{1} << 22)) {
        const double first = a.get_flat(0);
        bool equal = a.size() == 1 || a.get_flat(a.size() - 1) == first;
        for (int64_t i = 1; equal && i < a.size(); ++i) equal = a.get_flat(i) == first;
        if (equal) entry->second = first;
      }
    }
    found = entry->second;
  }
  if (!found) return found;
  for (size_t i = changes.size(); i-- > 0;) {
    const auto& [change, type] = changes[i];
    const double x = change == Role::reciprocal ? 1 / *found : change == Role::neg ? -*found : *found;
    found = Array::full(DType::f64, {}, x).cast(type).item();
  }
  return found;
}

double View::largest_number(Value v) const {
  constexpr size_t kMostRead = 64;
  constexpr int64_t kMostElements = 1 << 16;
  const auto [known, fresh] = largest_.try_emplace(v.node, 0);
  double& largest = known->second;
  const auto meet = [&largest](double x) {
    if (std::isfinite(x)) largest = std::max(largest, std::fabs(x));
  };
  std::vector<Value> open;
  if (fresh) open.push_back(v);
  for (size_t steps = 0; !open.empty() && steps < kMostRead; ++steps) {
    const Value at = open.back();
    open.pop_back();
    const Node& n = node(at);
    if (const auto one = number(at)) {
      meet(*one);
    } else if (n.op->is_pointwise() || n.inputs.size() == 1) {
      open.insert(open.end(), n.inputs.begin(), n.inputs.end());
    } else if (role(at) == Role::constant) {
      const Array& a = module.constants[static_cast<size_t>(n.attrs.integer("index"))];
      for (int64_t i = 0; i < std::min(a.size(), kMostElements); ++i) meet(a.get_flat(i));
    }
  }
  return largest;
}

bool View::depends(const std::vector<Value>& on, NodeId target) const {
  std::vector<NodeId> open;
  std::unordered_map<NodeId, bool> seen;
  for (const Value& v : on) open.push_back(v.node);
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    if (id < target || !seen.emplace(id, true).second) continue;
    if (canonical_[id] == canonical_[target]) return true;
    for (const Value& v : graph.nodes[id].inputs) open.push_back(v.node);
  }
  return false;
}

std::optional<Ref> behind_view(const View& view, LabelTable& table, const Ref& ref, bool through_slices) {
  const Node& n = view.node(ref.value);
  if (n.inputs.empty()) return std::nullopt;
  const Value in = n.inputs[0];
  switch (view.role(ref.value)) {
    case Role::same:
      if (n.attrs.has("barrier") && n.attrs.flag("barrier")) return std::nullopt;
      return Ref{in, ref.layout};
    case Role::reshape: {
      auto before = before_reshape(table, view.shape(in), view.shape(ref.value), ref.layout);
      if (!before) return std::nullopt;
      return Ref{in, std::move(*before)};
    }
    case Role::permute:
      return Ref{in, before_permute(n.attrs.ints("axes"), ref.layout)};
    case Role::broadcast:
      return Ref{in, before_broadcast(view.shape(in), view.shape(ref.value), ref.layout)};
    case Role::slice:
      if (!through_slices) return std::nullopt;
      return Ref{in, before_slice(n.attrs, ref.layout)};
    case Role::unstack: {
      if (!through_slices) return std::nullopt;
      Layout before = ref.layout;
      before.insert(before.begin() + n.attrs.integer("axis"), AxisMap{{}, Dim(ref.value.index), 1});
      return Ref{in, std::move(before)};
    }
    default:
      return std::nullopt;
  }
}

Ref operand(const View& view, const Ref& ref, size_t i) {
  const Value in = view.node(ref.value).inputs[i];
  return {in, before_broadcast(view.shape(in), view.shape(ref.value), ref.layout)};
}

Layout fresh_layout(LabelTable& table, const Shape& shape) {
  Layout layout;
  for (const Dim& d : shape) layout.push_back({table.axis(d), 0, 1});
  return layout;
}

}  // namespace fovea::match
