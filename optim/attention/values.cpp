#include "optim/attention/values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <unordered_map>

#include "optim/attention/view.h"

namespace fovea::match {
namespace {

constexpr int64_t kMostCompared = 1024;  // elements of constants that are compared
constexpr double kMostGathered = 1e4;    // numbers that multiply each other without leaving a type's range

uint64_t mix(uint64_t h, uint64_t x) { return (h ^ x) * 0x9E3779B97F4A7C15u + (h >> 31); }

// Local value numbering.
class Numbering {
 public:
  explicit Numbering(const View& view) : view_(view), first_(view.graph.nodes.size()) {
    multiples_.resize(first_.size());
    for (size_t id = 0; id < first_.size(); ++id) {
      const auto self = static_cast<NodeId>(id);
      multiples_[id] = {{self, 0}, 1};
      first_[id] = self;
      first_[id] = first_of(self);
    }
  }
  std::vector<NodeId> take() { return std::move(first_); }

 private:
  // A value as a number times another value.
  struct Multiple {
    Value of;
    double by = 1;
  };
  // The bytes of a small constant, of one sign: of booleans the first is true, of numbers the first that is
  // not 0 positive.
  struct Content {
    std::string text;  // empty: none
    bool turned = false;
  };

  const Node& node(NodeId id) const { return view_.graph.nodes[static_cast<size_t>(id)]; }
  Value first(Value v) const { return {first_[static_cast<size_t>(v.node)], v.index}; }
  Multiple multiple(Value v) const {
    const Value c = first(v);
    return c.index == 0 ? multiples_[static_cast<size_t>(c.node)] : Multiple{c, 1};
  }
  static std::string text(Value v) { return std::to_string(v.node) + ":" + std::to_string(v.index) + ","; }
  static std::string text(const Multiple& m) {
    return text(m.of) + std::to_string(std::bit_cast<uint64_t>(m.by)) + ",";
  }
  // As the type holds it: x / c and x * (1 / c) are multiples by one number.
  static double held(double x, DType dtype) {
    if (std::fabs(x) == 1) return x;
    const double y = dtype == DType::f64 ? x : Array::full(DType::f64, {}, x).cast(dtype).item();
    return y != 0 && std::isfinite(y) ? y : x;
  }
  NodeId known(std::string key, NodeId self) { return texts_.emplace(std::move(key), self).first->second; }

  NodeId first_of(NodeId id) {
    const Node& n = node(id);
    const Role role = view_.role(id);
    if (n.op->is_random() || n.op->has_side_effect() || role == Role::input) return id;
    if (view_.is_nothing(id)) return first_[static_cast<size_t>(n.inputs[0].node)];
    if (role == Role::constant) {
      if (const Content c = content(id); !c.text.empty()) return constant(id, c);
    } else if (role == Role::where) {
      const Condition c = condition(n.inputs[0]);
      const size_t yes = c.turned ? 2 : 1;
      return known(c.name + "w" + text(first(n.inputs[yes])) + text(first(n.inputs[3 - yes])), id);
    } else if (n.outputs.size() == 1 && n.outputs[0].dtype == DType::boolean) {
      return truth(id);
    } else if (role == Role::add || role == Role::sub) {
      return sum(id);
    } else if (const auto m = scaled(id)) {
      return scaled(id, *m);
    } else if (role == Role::mul) {
      Value a = first(n.inputs[0]), b = first(n.inputs[1]);
      if (b < a) std::swap(a, b);
      return known("*" + text(a) + text(b), id);
    }
    return same_op(id);
  }

  // A neg, or a product with a number or its reciprocal.
  std::optional<Multiple> scaled(NodeId id) const {
    const Node& n = node(id);
    const TensorType& type = n.outputs[0];
    const auto times = [&](size_t k, double by) -> std::optional<Multiple> {
      const Value x = n.inputs[k];
      if (view_.shape(x) != type.shape || view_.dtype(x) != type.dtype) return std::nullopt;
      const auto gathers = [](double f) {
        return std::fabs(f) < kMostGathered && std::fabs(f) > 1 / kMostGathered;
      };
      const Multiple m = multiple(x);
      const bool sign = std::fabs(by) == 1 || std::fabs(m.by) == 1;
      return sign || (gathers(by) && gathers(m.by)) ? Multiple{m.of, m.by * by} : Multiple{first(x), by};
    };
    const Role role = view_.role(id);
    if (role == Role::neg) return times(0, -1);
    if (!is_floating(type.dtype) || (role != Role::mul && role != Role::div)) return std::nullopt;
    for (const size_t k : {size_t{1}, size_t{0}}) {
      if (k == 0 && role == Role::div) break;
      const auto number = view_.number(n.inputs[k]);
      const double by = !number ? 0 : role == Role::mul ? *number : 1 / *number;
      if (by != 0 && std::isfinite(by)) return times(1 - k, by);
    }
    return std::nullopt;
  }
  NodeId scaled(NodeId id, const Multiple& m) {
    const double by = held(m.by, node(id).outputs[0].dtype);
    multiples_[static_cast<size_t>(id)] = m;
    return by == 1 ? m.of.index == 0 ? m.of.node : same_op(id) : known("x" + text({m.of, by}), id);
  }
  // What has this name and this sign; the first of them is either sign's.
  NodeId signed_value(NodeId id, const std::string& name, bool negative) {
    const auto [at, fresh] = signs_.try_emplace(name, id, negative);
    if (fresh) return id;
    const auto& [like, sign] = at->second;
    return sign == negative ? like : scaled(id, {{like, 0}, -1});
  }

  NodeId sum(NodeId id) {
    const Node& n = node(id);
    for (const size_t k : {size_t{0}, size_t{1}}) {  // x + 0, x - 0
      const Value x = first(n.inputs[k]);
      if ((k == 0 || view_.role(id) == Role::add) && view_.number(n.inputs[1 - k]) == 0.0 && x.index == 0 &&
          view_.shape(x) == n.outputs[0].shape && view_.dtype(x) == n.outputs[0].dtype)
        return x.node;
    }
    const auto addend = [&](size_t k, double sign) {
      Multiple m = multiple(n.inputs[k]);
      return Multiple{m.of, sign * held(m.by, n.outputs[0].dtype)};
    };
    Multiple a = addend(0, 1), b = addend(1, view_.role(id) == Role::sub ? -1 : 1);
    if (b.of < a.of || (b.of == a.of && b.by < a.by)) std::swap(a, b);
    const bool negative = a.by < 0;
    if (negative) a.by = -a.by, b.by = -b.by;
    return signed_value(id, "+" + text(a) + text(b), negative);
  }

  // ---- conditions

  // A condition that may be turned round, by a name that it has in all spellings.
  struct Condition {
    std::string name;
    bool turned = false;
    Value of{-1, 0};  // what it is, or the opposite of; node -1: a comparison or a constant
  };
  Condition condition(Value v) const {
    bool turned = false;
    for (;;) {
      v = first(v);
      const Node& n = node(v.node);
      const std::string& op = n.op->name();
      if (op == "logical_not") {
        turned = !turned;
        v = n.inputs[0];
      } else if (const auto tested = tested_number(n)) {
        turned = turned != (op == "equal");
        v = *tested;
      } else {
        Condition c = comparison(v);
        c.turned = c.turned != turned;
        return c;
      }
    }
  }
  // The condition c of cast(c) == 0 and cast(c) != 0.
  std::optional<Value> tested_number(const Node& n) const {
    if (n.op->name() != "equal" && n.op->name() != "not_equal") return std::nullopt;
    for (const size_t side : {size_t{0}, size_t{1}}) {
      const Value x = first(n.inputs[side]);
      if (view_.role(x) != Role::cast || view_.dtype(view_.node(x).inputs[0]) != DType::boolean) continue;
      const auto bound = view_.number(n.inputs[1 - side]);
      if (bound && *bound == 0 && view_.shape(x) == n.outputs[0].shape) return view_.node(x).inputs[0];
    }
    return std::nullopt;
  }
  // a < b, b > a, and where nothing is NaN the opposites of b <= a and a >= b.
  Condition comparison(Value v) const {
    if (const Content c = content(v.node); !c.text.empty()) return {c.text, c.turned, {-1, 0}};
    const Node& n = node(v.node);
    const std::string& op = n.op->name();
    const bool less = op == "less", greater = op == "greater", at_most = op == "less_equal",
               at_least = op == "greater_equal";
    if (!less && !greater && !at_most && !at_least) return {"b" + text(v), false, v};
    const std::string a = text(first(n.inputs[0])), b = text(first(n.inputs[1]));
    if ((at_most || at_least) && is_floating(view_.dtype(n.inputs[0])))
      return {at_most ? "<=" + a + b : "<=" + b + a, false, {-1, 0}};
    return {less || at_least ? "<" + a + b : "<" + b + a, at_most || at_least, {-1, 0}};
  }
  NodeId truth(NodeId id) {
    const Node& n = node(id);
    const Condition c = condition({id, 0});
    if (c.of.node < 0 || c.turned) return known(c.name + (c.turned ? '-' : '+'), id);
    if (c.of.node != id && c.of.index == 0) return c.of.node;
    if (!n.op->is_commutative() || n.inputs.size() != 2) return same_op(id);
    Value a = first(n.inputs[0]), b = first(n.inputs[1]);
    if (b < a) std::swap(a, b);
    return known(n.op->name() + text(a) + text(b), id);
  }

  Content content(NodeId id) const {
    Content c;
    if (view_.role(id) != Role::constant) return c;
    const auto index = static_cast<size_t>(node(id).attrs.integer("index"));
    const Array& a = view_.module.constants[index];
    if (a.size() == 0 || a.size() > kMostCompared) return c;
    const bool boolean = a.dtype() == DType::boolean;
    for (int64_t i = 0; !boolean && i < a.size(); ++i)
      if (const double x = a.get_flat(i); x != 0) {
        c.turned = x < 0;
        break;
      }
    if (boolean) c.turned = a.get_flat(0) == 0;
    c.text = std::to_string(static_cast<int>(a.dtype())) + to_string(node(id).outputs[0].shape);
    for (int64_t i = 0; i < a.size(); ++i) {
      double x = a.get_flat(i);
      if (c.turned) x = boolean ? 1 - x : 0 - x;
      c.text.append(reinterpret_cast<const char*>(&x), sizeof(x));
    }
    return c;
  }
  NodeId constant(NodeId id, const Content& c) {
    const DType dtype = node(id).outputs[0].dtype;
    if (dtype == DType::boolean) return known(c.text + (c.turned ? '-' : '+'), id);
    return signed_value(id, c.text, c.turned);
  }

  // Equal op, attributes and operands.
  NodeId same_op(NodeId id) {
    const Node& n = node(id);
    uint64_t h = mix(reinterpret_cast<uintptr_t>(n.op), n.attrs.size());
    for (const Value& v : n.inputs) h = mix(mix(h, first(v).node), v.index);
    const auto [begin, end] = seen_.equal_range(h);
    const auto equal = std::find_if(begin, end, [&](const auto& entry) {
      const Node& m = node(entry.second);
      return m.op == n.op && m.attrs == n.attrs &&
             std::equal(m.inputs.begin(), m.inputs.end(), n.inputs.begin(), n.inputs.end(),
                        [this](Value a, Value b) { return first(a) == first(b); });
    });
    if (equal != end) return equal->second;
    seen_.emplace(h, id);
    return id;
  }

  const View& view_;
  std::vector<NodeId> first_;
  std::vector<Multiple> multiples_;
  std::unordered_map<std::string, NodeId> texts_;
  std::unordered_map<std::string, std::pair<NodeId, bool>> signs_;
  std::unordered_multimap<uint64_t, NodeId> seen_;
};

}  // namespace

std::vector<NodeId> equal_values(const View& view) { return Numbering(view).take(); }

}  // namespace fovea::match
