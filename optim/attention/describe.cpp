#include "optim/attention/describe.h"

#include <algorithm>
#include <charconv>

#include "optim/attention/emit.h"

namespace fovea::match {
namespace {

constexpr int kDeepest = 24;  // conditions within conditions

std::string number(double x) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), x).ptr;
  return {text, end};
}

// The score of a region in words, from the outside in.
class Words {
 public:
  explicit Words(Region& r) : r_(r), e_(r.e) {}

  std::string score() {
    int32_t at = r_.score;
    std::vector<std::string> parts;
    double scale = 1;
    while (!is_scores(at)) {
      const Expr x = e_.at(at);
      if (x.code == Code::select && e_.at(x.b).has_product && !e_.at(x.c).has_product) {
        parts.push_back(mask(x.a) + ", fill " + value(x.c));
        at = x.b;
      } else if (x.code == Code::add && e_.at(x.a).has_product && !e_.at(x.b).has_product) {
        parts.push_back(added(x.b));
        at = x.a;
      } else if (x.code == Code::mul && e_.is_constant(x.b)) {
        const Expr inner = e_.at(x.a);
        if (inner.code == Code::tanh) {
          parts.push_back("softcap " + number(e_.at(x.b).number));
          scale *= e_.at(x.b).number;
          at = inner.a;
        } else {
          scale *= e_.at(x.b).number;
          at = x.a;
        }
      } else if (x.code == Code::mul && !e_.at(x.b).has_product) {
        parts.push_back("scale " + value(x.b));
        at = x.a;
      } else {
        parts.push_back(std::string(tiles::name_of(x.code)) + " of the products");
        break;
      }
    }
    std::string out = "scale " + number(scale);
    for (size_t k = parts.size(); k-- > 0;) out += ", " + parts[k];
    if (r_.sink >= 0) out += ", sink " + value(r_.sink);
    if (r_.factor >= 0) out += ", factor " + value(r_.factor);
    if (r_.guard == "nan") out += ", NaN gives zero";
    if (r_.guard == "empty") out += ", empty rows give zero";
    if (!r_.row_factors.empty()) out += ", rows masked afterwards";
    for (const std::string& note : r_.notes) out += "; " + note;
    return out;
  }

 private:
  bool is_scores(int32_t e) const { return e_.at(e).code == Code::input && e_.at(e).index == r_.scores; }

  std::string name(int64_t leaf) const {
    const Leaf& l = r_.e.leaves[static_cast<size_t>(leaf)];
    if (l.what == Leaf::What::extent) return l.extent.str();
    const Node& n = r_.view.node(l.ref.value);
    const std::string op = n.op->name() == "input" ? n.attrs.text("name")
                                                   : n.op->name() + "#" + std::to_string(l.ref.value.node);
    return op + to_string(r_.view.shape(l.ref.value));
  }
  std::string value(int32_t e) const {
    const Expr& x = e_.at(e);
    if (x.code == Code::constant) return x.kind == Kind::real ? number(x.number) : std::to_string(x.index);
    if (x.code == Code::input) return name(x.index);
    if (x.has_random) return "random";
    std::string leaves;
    for (int32_t v : e_.reachable({e}))
      if (e_.at(v).code == Code::input) leaves += (leaves.empty() ? "" : ", ") + name(e_.at(v).index);
    return std::string(tiles::name_of(x.code)) + "(" + leaves + ")";
  }
  std::string added(int32_t e) {
    // A small mask is computed outside; what it says is read here.
    if (e_.at(e).code == Code::input &&
        r_.e.leaves[static_cast<size_t>(e_.at(e).index)].what == Leaf::What::value) {
      Reader reader(r_.view, r_.table, r_.e, r_.forms, r_.keys, {}, {}, /*leaves_outside=*/false);
      const int32_t opened = reader.read(r_.e.leaves[static_cast<size_t>(e_.at(e).index)].ref);
      if (e_.at(opened).code == Code::select && !e_.at(opened).has_product) e = opened;
    }
    const Expr x = e_.at(e);
    if (x.code == Code::select && e_.is_constant(x.b) && e_.is_constant(x.c)) {
      if (e_.is_number(x.b, 0)) return "adds " + value(x.c) + " off " + mask(x.a);
      if (e_.is_number(x.c, 0)) return "adds " + value(x.b) + " on " + mask(x.a);
    }
    return "bias " + value(e);
  }

  // The index of a query (-2), a key (-1) or of another axis (0), and what is added to it.
  struct Place {
    int axis = 0;
    int64_t plus = 0;
    bool known = false;
  };
  Place place(int32_t e) const {
    const Expr& x = e_.at(e);
    if (x.code == Code::add && e_.is_constant(x.b)) {
      Place p = place(x.a);
      p.plus += e_.at(x.b).index;
      return p;
    }
    if (x.code != Code::iota) return {};
    const Labels labels = r_.table.resolve(e_.places[static_cast<size_t>(x.index)].labels);
    if (labels == r_.table.resolve(r_.keys)) return {-1, 0, true};
    if (labels == r_.table.resolve(r_.query)) return {-2, 0, true};
    return {};
  }
  std::string mask(int32_t e, int deep = 0) const {
    const Expr& x = e_.at(e);
    if (deep > kDeepest) return "...";
    if (x.code == Code::logical_and) return mask(x.a, deep + 1) + " and " + mask(x.b, deep + 1);
    if (x.code == Code::logical_or) return "(" + mask(x.a, deep + 1) + " or " + mask(x.b, deep + 1) + ")";
    if (x.code == Code::logical_not) return "not " + mask(x.a, deep + 1);
    if (x.code == Code::input) return "mask " + name(x.index);
    if (x.code == Code::less || x.code == Code::less_equal) {
      const Place a = place(x.a), b = place(x.b);
      const int64_t strict = x.code == Code::less ? 1 : 0;
      if (a.known && b.known && a.axis == -1 && b.axis == -2)
        return "causal(" + std::to_string(b.plus - a.plus - strict) + ")";
      if (a.known && b.known && a.axis == -2 && b.axis == -1)
        return "window(" + std::to_string(a.plus - b.plus + strict) + ")";
      if (a.known && a.axis == -1) return "keys below " + value(x.b);
      if (b.known && b.axis == -1) return "keys from " + value(x.a);
    }
    if (x.code == Code::equal && !x.has_index) return "segments " + value(x.a);
    return "mask " + value(e);
  }

  Region& r_;
  const Expressions& e_;
};

}  // namespace

FusionRecord record_of(const View& view, const Verdict& verdict) {
  FusionRecord record;
  record.function = view.graph.name;
  record.fused = verdict.region != nullptr;
  const NodeId id = record.fused || verdict.why.node < 0 ? verdict.softmax : verdict.why.node;
  if (id >= 0) {
    const Node& n = view.graph.nodes[static_cast<size_t>(id)];
    record.node = n.op->name() + "#" + std::to_string(id);
    record.scope = view.module.scopes[static_cast<size_t>(n.scope)];
    record.source = n.source;
  }
  if (verdict.scores.node >= 0) {
    const TensorType& scores = view.graph.type(verdict.scores);
    record.saves = (Dim(2 * size_of(scores.dtype)) * product(scores.shape)).str();
  }
  if (record.fused) {
    record.score = Words(*verdict.region).score();
    record.sentence = "the softmax and its two products are one attention node";
    return record;
  }
  record.reason = verdict.why.reason;
  record.detail = verdict.why.detail;
  record.sentence = verdict.why.sentence;
  record.nearest = verdict.why.nearest;
  return record;
}

}  // namespace fovea::match
