#include "ops/composite/einsum/einsum.h"

#include <algorithm>
#include <map>

#include "graph/ir/op.h"
#include "ops/core/cast/cast.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/mul/mul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sum/sum.h"

namespace fovea {
namespace {

// A letter, or a negative number for an axis of the ellipsis: -1 is the last one.
using Labels = std::vector<int>;

struct Equation {
  std::vector<Labels> in;
  Labels out;
};

[[noreturn]] void bad(const std::string& text, const std::string& why) {
  invalid("einsum: \"" + text + "\": " + why);
}

bool contains(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

// The labels of one operand of `rank` axes, or of the result (rank -1) with `open` axes for the ellipsis.
Labels parse_term(const std::string& text, const std::string& term, int64_t rank, int open) {
  Labels labels;
  const size_t dots = term.find("...");
  const int64_t letters = static_cast<int64_t>(term.size()) - (dots == std::string::npos ? 0 : 3);
  if (rank >= 0) {
    if (dots == std::string::npos ? letters != rank : letters > rank)
      bad(text, "\"" + term + "\" names " + std::to_string(letters) + " axes, the operand has " +
                    std::to_string(rank));
    open = static_cast<int>(rank - letters);
  }
  for (size_t i = 0; i < term.size(); ++i) {
    if (i == dots) {
      for (int k = open; k > 0; --k) labels.push_back(-k);
      i += 2;
      continue;
    }
    const char c = term[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
      bad(text, std::string("'") + c + "' is not a letter");
    if (contains(labels, c)) bad(text, std::string("'") + c + "' stands twice in \"" + term + "\"");
    labels.push_back(c);
  }
  return labels;
}

Equation parse(const std::string& text, const std::vector<int64_t>& ranks) {
  std::string compact;
  for (char c : text)
    if (c != ' ') compact += c;
  const size_t arrow = compact.find("->");
  const std::string left = compact.substr(0, arrow);
  std::vector<std::string> terms(1);
  for (char c : left) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  if (terms.size() != ranks.size())
    bad(text, std::to_string(terms.size()) + " terms for " + std::to_string(ranks.size()) + " operands");
  Equation e;
  std::map<int, int> count;
  int open = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    e.in.push_back(parse_term(text, terms[i], ranks[i], 0));
    for (int label : e.in.back()) ++count[label], open = std::max(open, -label);
  }
  if (arrow == std::string::npos) {
    for (const auto& [label, n] : count)  // in order, the ellipsis first
      if (label < 0 || n == 1) e.out.push_back(label);
    return e;
  }
  e.out = parse_term(text, compact.substr(arrow + 2), -1, open);
  for (int label : e.out)
    if (!count.count(label))
      bad(text, std::string("'") + static_cast<char>(label) + "' of the result is in no operand");
  return e;
}

std::vector<int64_t> ranks_of(const auto& operands) {
  std::vector<int64_t> ranks;
  for (const auto& x : operands) ranks.push_back(static_cast<int64_t>(x.size()));
  return ranks;
}

void infer(InferContext& c) {
  if (c.in.empty()) c.fail("takes 1 or more operands, got 0");
  std::vector<Shape> shapes;
  for (const TensorType& t : c.in) shapes.push_back(t.shape);
  const Equation e = parse(c.attrs.text("equation"), ranks_of(shapes));
  std::map<int, Dim> sizes;
  for (size_t i = 0; i < c.in.size(); ++i) {
    if (c.dtype(i) != c.dtype(0))
      c.fail("operand " + std::to_string(i) + " is " + std::string(to_string(c.dtype(i))) +
             ", operand 0 is " + std::string(to_string(c.dtype(0))));
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      const int label = e.in[i][d];
      const auto [known, fresh] = sizes.emplace(label, shapes[i][d]);
      if (fresh || shapes[i][d] == Dim(1)) continue;
      if (known->second == Dim(1))
        known->second = shapes[i][d];
      else
        c.same(shapes[i][d], known->second,
               (label < 0 ? std::string("an axis of the ellipsis")
                          : std::string("axis '") + static_cast<char>(label) + "'") +
                   " is {a} in operand " + std::to_string(i) + ", {b} before");
    }
  }
  // Only the ellipsis broadcasts.
  for (size_t i = 0; i < c.in.size(); ++i)
    for (size_t d = 0; d < shapes[i].size(); ++d)
      if (e.in[i][d] >= 0)
        c.same(shapes[i][d], sizes[e.in[i][d]],
               std::string("axis '") + static_cast<char>(e.in[i][d]) + "' is {a} in operand " +
                   std::to_string(i) + ", {b} elsewhere");
  Shape shape;
  for (int label : e.out) shape.push_back(sizes[label]);
  c.output(c.dtype(0), shape);
}

struct Term {
  Tensor x;
  Labels labels;
  Dim size(int label) const { return x.dim(std::find(labels.begin(), labels.end(), label) - labels.begin()); }
};

// Axes in the order of `labels`, a subset of t's that leaves none out.
Term arranged(const Term& t, const Labels& labels) {
  if (t.labels == labels) return t;
  Ints axes;
  for (int label : labels)
    axes.push_back(std::find(t.labels.begin(), t.labels.end(), label) - t.labels.begin());
  return {permute(t.x, axes), labels};
}

// Sums over the labels that are in no other term and not in the result.
Term summed(const Term& t, const Labels& needed) {
  Ints axes;
  Labels rest;
  for (size_t d = 0; d < t.labels.size(); ++d) {
    if (contains(needed, t.labels[d]))
      rest.push_back(t.labels[d]);
    else
      axes.push_back(static_cast<int64_t>(d));
  }
  return axes.empty() ? t : Term{sum(t.x, axes), rest};
}

Tensor shaped(const Tensor& x, const Shape& shape) { return x.shape() == shape ? x : reshape(x, shape); }

// One product of two terms; labels that are needed no more are contracted.
Term multiplied(Term a, Term b, const Labels& needed) {
  Labels batch, inner, rows, columns;
  for (int label : a.labels)
    (contains(b.labels, label) ? contains(needed, label) ? batch : inner : rows).push_back(label);
  for (int label : b.labels)
    if (!contains(a.labels, label)) columns.push_back(label);
  Shape shape;
  Labels labels;
  const auto join = [](std::initializer_list<const Labels*> lists) {
    Labels out;
    for (const Labels* l : lists) out.insert(out.end(), l->begin(), l->end());
    return out;
  };
  a = arranged(a, join({&batch, &rows, &inner}));
  b = arranged(b, join({&batch, &inner, &columns}));
  labels = join({&batch, &rows, &columns});
  for (int label : labels) shape.push_back(contains(a.labels, label) ? a.size(label) : b.size(label));
  const auto size = [](const Term& t, const Labels& of) {
    Dim n = 1;
    for (int label : of) n = n * t.size(label);
    return n;
  };
  Shape left, right;
  for (int label : batch) left.push_back(a.size(label)), right.push_back(b.size(label));
  if (inner.empty()) {  // no sum: an outer product, by broadcasting
    for (int label : rows) left.push_back(a.size(label)), right.push_back(1);
    for (int label : columns) left.push_back(1), right.push_back(b.size(label));
    return {mul(shaped(a.x, left), shaped(b.x, right)), labels};
  }
  left.insert(left.end(), {size(a, rows), size(a, inner)});
  right.insert(right.end(), {size(b, inner), size(b, columns)});
  return {shaped(matmul(shaped(a.x, left), shaped(b.x, right)), shape), labels};
}

Tensors decompose(const OpArgs& args) {
  std::vector<Shape> shapes;
  for (const Tensor& x : args.in) shapes.push_back(x.shape());
  const Equation e = parse(args.attrs.text("equation"), ranks_of(shapes));
  std::map<int, Dim> sizes;
  for (size_t i = 0; i < shapes.size(); ++i)
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      Dim& size = sizes.emplace(e.in[i][d], 1).first->second;
      if (shapes[i][d] != Dim(1)) size = shapes[i][d];
    }
  std::vector<Term> terms;
  for (size_t i = 0; i < shapes.size(); ++i) {
    // An axis of size 1 that broadcasts is left out; the other operands bring it.
    Term t{args.in[i], {}};
    Shape shape;
    for (size_t d = 0; d < shapes[i].size(); ++d)
      if (shapes[i][d] == sizes[e.in[i][d]]) t.labels.push_back(e.in[i][d]), shape.push_back(shapes[i][d]);
    t.x = shaped(t.x, shape);
    terms.push_back(t);
  }
  const auto needed_behind = [&](size_t i) {
    Labels needed = e.out;
    for (size_t j = i + 1; j < terms.size(); ++j)
      needed.insert(needed.end(), terms[j].labels.begin(), terms[j].labels.end());
    return needed;
  };
  Term result = summed(terms[0], needed_behind(0));
  for (size_t i = 1; i < terms.size(); ++i) {
    Labels needed = needed_behind(i), for_term = needed;
    for_term.insert(for_term.end(), result.labels.begin(), result.labels.end());
    const Term next = summed(terms[i], for_term);
    Labels for_result = needed;
    for_result.insert(for_result.end(), next.labels.begin(), next.labels.end());
    result = multiplied(summed(result, for_result), next, needed);
  }
  return {arranged(result, e.out).x};
}

}  // namespace

FOVEA_OP(einsum) {
  op.doc(
        "Einstein sums: letters name axes, those that the result leaves out are summed over; ... stands for "
        "axes that broadcast. Contracted from left to right as matrix products.")
      .variadic_input("x", Types::numeric)
      .required_attr("equation", std::string())
      .infer(infer)
      .decompose(decompose)
      .sample({In{2, 3}, In{3, 4}}, {{"equation", "ij,jk->ik"}})
      .sample({In{2, 2, 3, 4}, In{2, 2, 5, 4}}, {{"equation", "bhqd,bhkd->bhqk"}})
      .sample({In{2, 3}, In{2, 4}, In{3, 4}}, {{"equation", "ij,ik,jk->i"}})
      .sample({In{2, 1, 3, 4}, In{5, 4}}, {{"equation", "...ij,...j->...i"}})
      .sample({In{3, 4}}, {{"equation", "ij->j"}})
      .sample_error({In{2, 3}, In{4, 5}}, {{"equation", "ij,jk->ik"}}, "axis 'j' is 4 in operand 1, 3 before")
      .sample_error({In{2, 2}}, {{"equation", "ii->i"}}, "'i' stands twice in \"ii\"")
      .sample_error({In{2, 2}}, {{"equation", "ij->k"}}, "'k' of the result is in no operand")
      .sample_error({In{2, 2}}, {{"equation", "ijk->k"}}, "\"ijk\" names 3 axes, the operand has 2");
}

Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands, Source source) {
  if (operands.empty()) invalid("einsum: takes 1 or more operands, got 0");
  DType dtype = operands[0].dtype();
  for (const Tensor& x : operands) dtype = promote(dtype, x.dtype());
  Tensors same;
  for (const Tensor& x : operands) same.push_back(x.dtype() == dtype ? x : cast(Arg(x, source), dtype));
  return apply1("einsum", std::move(same), {{"equation", equation}}, source);
}

}  // namespace fovea
