#include <algorithm>

#include "optim/attention/view.h"

namespace fovea::match {
namespace {

Layout batch_of(const Layout& layout) { return Layout(layout.begin(), layout.end() - 2); }

// The layout of an operand's batch axes, broadcast as in NumPy.
Layout operand_batch(const Shape& in, const Shape& out, const Layout& layout) {
  return before_broadcast(Shape(in.begin(), in.end() - 2), Shape(out.begin(), out.end() - 2),
                          batch_of(layout));
}

Contraction matmul_at(const View& view, LabelTable& table, const Ref& ref) {
  const Node& n = view.node(ref.value);
  const Shape& out = view.shape(ref.value);
  const LabelId k = table.add(view.shape(n.inputs[0]).back());
  Contraction c;
  c.a = {n.inputs[0], operand_batch(view.shape(n.inputs[0]), out, ref.layout)};
  c.a.layout.push_back(ref.layout[out.size() - 2]);
  c.a.layout.push_back({{k}, 0, 1});
  c.b = {n.inputs[1], operand_batch(view.shape(n.inputs[1]), out, ref.layout)};
  c.b.layout.push_back({{k}, 0, 1});
  c.b.layout.push_back(ref.layout.back());
  c.reduced = {k};
  return c;
}

Contraction linear_at(const View& view, LabelTable& table, const Ref& ref) {
  const Node& n = view.node(ref.value);
  const LabelId k = table.add(view.shape(n.inputs[0]).back());
  Contraction c;
  c.a = {n.inputs[0], ref.layout};
  c.a.layout.back() = {{k}, 0, 1};
  c.b = {n.inputs[1], {ref.layout.back(), {{k}, 0, 1}}};
  c.reduced = {k};
  return c;
}

// Letters of the terms of an einsum; axes of the ellipsis count from -1, the last one.
struct Letters {
  std::vector<std::vector<int>> in;
  std::vector<int> out;
};

std::vector<int> letters_of(const std::string& term, int64_t rank, int open) {
  const size_t dots = term.find("...");
  if (rank >= 0 && dots != std::string::npos)
    open = static_cast<int>(rank - static_cast<int64_t>(term.size() - 3));
  std::vector<int> out;
  for (size_t i = 0; i < term.size(); ++i) {
    if (i == dots) {
      for (int k = open; k > 0; --k) out.push_back(-k);
      i += 2;
    } else {
      out.push_back(term[i]);
    }
  }
  return out;
}

Letters parse_equation(const std::string& text, const std::vector<int64_t>& ranks) {
  std::string compact;
  for (char c : text)
    if (c != ' ') compact += c;
  const size_t arrow = compact.find("->");
  std::string left = compact.substr(0, arrow) + ",";
  Letters e;
  std::unordered_map<int, int> count;
  int open = 0;
  for (size_t at = 0, i = 0; i < ranks.size(); ++i) {
    const size_t comma = left.find(',', at);
    e.in.push_back(letters_of(left.substr(at, comma - at), ranks[i], 0));
    for (int l : e.in.back()) ++count[l], open = std::max(open, -l);
    at = comma + 1;
  }
  if (arrow != std::string::npos) {
    e.out = letters_of(compact.substr(arrow + 2), -1, open);
    return e;
  }
  for (const auto& [l, n] : count)
    if (l < 0 || n == 1) e.out.push_back(l);
  std::sort(e.out.begin(), e.out.end());
  return e;
}

std::optional<Contraction> einsum_at(const View& view, LabelTable& table, const Ref& ref) {
  const Node& n = view.node(ref.value);
  if (n.inputs.size() != 2) return std::nullopt;
  std::vector<int64_t> ranks;
  for (const Value& v : n.inputs) ranks.push_back(static_cast<int64_t>(view.shape(v).size()));
  const Letters e = parse_equation(n.attrs.text("equation"), ranks);
  std::unordered_map<int, AxisMap> map;
  for (size_t d = 0; d < e.out.size(); ++d) map[e.out[d]] = ref.layout[d];
  Contraction c;
  Ref* operands[] = {&c.a, &c.b};
  for (size_t i : {size_t{0}, size_t{1}}) {
    const Shape& shape = view.shape(n.inputs[i]);
    operands[i]->value = n.inputs[i];
    for (size_t d = 0; d < shape.size(); ++d) {
      const int l = e.in[i][d];
      if (!map.count(l)) {
        if (std::find(e.in[1 - i].begin(), e.in[1 - i].end(), l) == e.in[1 - i].end()) return std::nullopt;
        map[l] = {{table.add(shape[d])}, 0, 1};
        c.reduced.push_back(map[l].labels[0]);
      }
      const bool repeated =
          l < 0 && shape[d] == Dim(1) && !map[l].labels.empty() && table.size(map[l].labels) != Dim(1);
      operands[i]->layout.push_back(repeated ? AxisMap{} : map[l]);
    }
  }
  return c;
}

Ref behind_views(const View& view, LabelTable& table, Ref ref) {
  for (int steps = 0; steps < 256; ++steps) {
    auto behind = behind_view(view, table, ref, false);
    if (!behind) break;
    ref = std::move(*behind);
  }
  return ref;
}

// A sum of products over an axis that both operands have, such as heads, is one product over more labels.
std::optional<Contraction> sum_of_contractions(const View& view, LabelTable& table, const Ref& ref,
                                               const Labels& over) {
  std::optional<Contraction> c;
  if (view.role(ref.value) == Role::matmul)
    c = matmul_at(view, table, ref);
  else
    c = einsum_at(view, table, ref);
  if (!c) return std::nullopt;
  for (LabelId l : table.resolve(over)) {
    if (!contains(table.resolve(flat(c->a.layout)), l) || !contains(table.resolve(flat(c->b.layout)), l))
      return std::nullopt;
    c->reduced.push_back(l);
  }
  return c;
}

// sum(a * b) over axes that both have.
std::optional<Contraction> sum_of_products(const View& view, LabelTable& table, const Ref& ref) {
  Ref at = before_sum(view, table, ref);
  Labels reduced;
  for (int64_t axis : view.node(ref.value).attrs.ints("axes")) reduced.push_back(at.layout[axis].labels[0]);
  for (int steps = 0; steps < 16 && view.role(at.value) != Role::mul; ++steps) {
    if (view.role(at.value) == Role::cast && is_floating(view.dtype(view.node(at.value).inputs[0]))) {
      at.value = view.node(at.value).inputs[0];
      continue;
    }
    auto behind = behind_view(view, table, at, false);
    if (!behind) break;
    at = std::move(*behind);
  }
  const Role role = view.role(at.value);
  if (role == Role::matmul || role == Role::einsum) return sum_of_contractions(view, table, at, reduced);
  if (role != Role::mul) return std::nullopt;
  Contraction c;
  c.a = behind_views(view, table, operand(view, at, 0));
  c.b = behind_views(view, table, operand(view, at, 1));
  c.reduced = table.resolve(reduced);
  return c;
}

}  // namespace

Ref before_sum(const View& view, LabelTable& table, const Ref& ref) {
  const Node& n = view.node(ref.value);
  const Shape& in = view.shape(n.inputs[0]);
  const Ints& axes = n.attrs.ints("axes");
  const bool keep = n.attrs.flag("keepdims");
  Layout before;
  size_t next = 0;
  for (size_t d = 0; d < in.size(); ++d) {
    const bool reduced = std::find(axes.begin(), axes.end(), static_cast<int64_t>(d)) != axes.end();
    before.push_back(reduced ? AxisMap{{table.add(in[d])}, 0, 1} : ref.layout[next]);
    if (!reduced || keep) ++next;
  }
  return {n.inputs[0], before};
}

std::optional<Contraction> contraction_at(const View& view, LabelTable& table, const Ref& ref) {
  std::optional<Contraction> c;
  switch (view.role(ref.value)) {
    case Role::matmul:
      c = matmul_at(view, table, ref);
      break;
    case Role::linear:
      if (view.node(ref.value).inputs.size() == 2) c = linear_at(view, table, ref);
      break;
    case Role::einsum:
      c = einsum_at(view, table, ref);
      break;
    case Role::sum:
      c = sum_of_products(view, table, ref);
      break;
    default:
      break;
  }
  if (c) c->node = ref.value.node;
  return c;
}

}  // namespace fovea::match
