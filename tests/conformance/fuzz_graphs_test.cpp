// Random typed graphs of random ops: the CPU backend against the reference, to the last bit where the numbers
// are whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "graph/build/builder.h"
#include "tests/support/op_case.h"

namespace fovea::test {
namespace {

// On small whole numbers these give whole numbers, or bools, exactly in every type.
const std::set<std::string> kExact = {
    "abs",           "add",
    "all",           "any",
    "argmax",        "argmin",
    "broadcast_to",  "cast",
    "concat",        "copy",
    "cumsum",        "equal",
    "floor",         "full",
    "gather",        "greater",
    "greater_equal", "identity",
    "iota",          "less",
    "less_equal",    "logical_and",
    "logical_not",   "logical_or",
    "logical_xor",   "matmul",
    "max",           "maximum",
    "min",           "minimum",
    "mul",           "neg",
    "not_equal",     "one_hot",
    "pad",           "permute",
    "relu",          "reshape",
    "scatter_add",   "sign",
    "slice",         "sort",
    "square",        "sub",
    "sum",           "take_along_axis",
    "tril",          "triu",
    "where",         "embedding",
    "ceil",          "round",
    "linear",        "extent",
    "stop_gradient",
};

// Their results jump where operands differ by a rounding, so random real numbers cannot be compared behind
// them.
bool jumps(const OpDecl& op) {
  return !op.is_differentiable() || op.name() == "sort" || op.name() == "top_k" || op.name() == "mod";
}

struct Random {
  std::mt19937 bits;
  size_t below(size_t n) { return bits() % n; }
};

// Sizes that fit together often.
Dims random_shape(Random& r) {
  Dims shape(r.below(4));
  for (int64_t& d : shape) d = std::vector<int64_t>{2, 3, 3, 4, 1}[r.below(5)];
  return shape;
}

struct Fuzzed {
  std::shared_ptr<Module> module = std::make_shared<Module>();
  std::vector<In> in;
  std::string text;  ///< the ops in order, for messages
  int nodes = 0;
  bool gradients =
      false;  ///< there is a function "g": the gradients of f for the floating inputs, given cotangents
};

// Attributes of a random sample, with its axes moved at random.
Attrs random_attrs(const OpDecl& op, Random& r) {
  Attrs attrs = op.samples()[r.below(op.samples().size())].attrs;
  for (const AttrDecl& a : op.attrs()) {
    if (a.name == "axis" && r.below(2)) attrs.set("axis", static_cast<int64_t>(r.below(3)) - 1);
    if (a.name == "axes" && std::holds_alternative<Ints>(a.fallback) && op.name() != "permute" && r.below(2))
      attrs.set("axes", Ints{static_cast<int64_t>(r.below(3)) - 1});
    if (a.name == "keepdims" && r.below(2)) attrs.set("keepdims", true);
    if (std::holds_alternative<Shape>(a.fallback) && a.name == "shape" && r.below(2))
      attrs.set("shape", to_shape(random_shape(r)));
  }
  return attrs;
}

Fuzzed random_graph(Random& r, const std::vector<const OpDecl*>& ops, DType dtype, bool whole, int wanted) {
  Fuzzed f;
  auto builder = Builder::make(f.module, "f");
  std::vector<Tensor> pool;
  const auto input = [&](In in) {
    f.in.push_back(in);
    pool.push_back(builder->input("", {in.type, to_shape(in.shape)}));
  };
  for (int i = 0; i < 4; ++i) {
    In in({}, dtype);
    in.shape = random_shape(r);
    input(whole ? in.range(-3, 4) : in.range(0.3, 1.5));
  }
  input(ints({3}, 0, 2));
  if (whole) input(bools({3}));
  std::set<int32_t> used;
  for (int attempt = 0; attempt < 60 * wanted && f.nodes < wanted; ++attempt) {
    const OpDecl& op = *ops[r.below(ops.size())];
    size_t count = op.inputs().size();
    while (count > 0 && op.inputs()[count - 1].optional && r.below(2)) --count;
    if (count > 0 && op.inputs().back().variadic) count += r.below(2);
    std::vector<Tensor> in;
    for (size_t i = 0; i < count; ++i)
      in.push_back(pool[r.below(2) ? pool.size() - 1 - r.below(std::min<size_t>(3, pool.size()))
                                   : r.below(pool.size())]);
    Attrs attrs = random_attrs(op, r);
    try {
      std::vector<TensorType> types;
      for (const Tensor& t : in) types.push_back(t.type());
      Attrs checked = attrs;
      double elements = 0;
      for (const TensorType& t : op.check(checked, types, nullptr, nullptr))
        elements += static_cast<double>(product(evaluate(t.shape, {})));
      if (elements > 500) continue;
      for (const Tensor& y : builder->add(op, in, attrs, {})) pool.push_back(y);
      for (const Tensor& t : in) used.insert(t.value().node);
      f.text += " " + op.name();
      ++f.nodes;
    } catch (const Error&) {  // these operands do not suit this op
    }
  }
  for (const Tensor& t : pool)
    if (!used.count(t.value().node)) builder->output("", t);
  builder->finish();
  return f;
}

// Adds g. Graphs with jumps have none; neither have those without floating results.
void add_gradients(Fuzzed& f) {
  const Graph& graph = f.module->function("f");
  Ints wrt, seeds;
  auto b = Builder::make(f.module, "g");
  std::vector<Tensor> in;
  for (const In& i : f.in) {
    if (is_floating(i.type)) wrt.push_back(static_cast<int64_t>(in.size()));
    in.push_back(b->input("", {i.type, to_shape(i.shape)}));
  }
  for (size_t o = 0; o < graph.outputs.size(); ++o) {
    const TensorType& t = graph.type(graph.outputs[o]);
    if (!is_floating(t.dtype)) continue;
    seeds.push_back(static_cast<int64_t>(o));
    In cotangent({}, t.dtype);
    cotangent.shape = evaluate(t.shape, {});
    f.in.push_back(cotangent);
    in.push_back(b->input("", t));
  }
  if (seeds.empty()) return;
  const auto out =
      b->add(find_op("vjp"), in, {{"function", FunctionRef{"f"}}, {"wrt", wrt}, {"seeds", seeds}}, {});
  for (const Tensor& y : out) b->output("", y);
  b->finish();
  f.gradients = true;
}

// Empty where the program threw; the error's kind then.
struct Result {
  std::vector<Array> out;
  std::string error;
};
Result run_on(const Fuzzed& f, const std::string& backend, const std::vector<Array>& x) {
  CompileOptions options;
  options.backend = backend;
  try {
    return {Program(f.module, f.gradients ? "g" : "f", options).run(x), ""};
  } catch (const Error& e) {
    return {{}, std::string(to_string(e.kind()))};
  }
}

std::vector<const OpDecl*> ops_where(const std::function<bool(const OpDecl&)>& wanted) {
  std::vector<const OpDecl*> out;
  for (const OpDecl* op : all_ops())
    if (!is_structural(*op) && !op->is_random() && !op->has_side_effect() && !op->samples().empty() &&
        wanted(*op))
      out.push_back(op);
  return out;
}

void fuzz(const std::vector<const OpDecl*>& ops, DType dtype, bool whole, Tolerance tolerance, int graphs,
          unsigned seed, double least_finite) {
  std::set<std::string> reached;
  int ran = 0, finite = 0, results = 0;
  for (int g = 0; g < graphs; ++g) {
    Random r{std::mt19937(seed + static_cast<unsigned>(g))};
    Fuzzed f = random_graph(r, ops, dtype, whole, 4 + static_cast<int>(r.below(10)));
    const std::string what = "graph " + std::to_string(seed + static_cast<unsigned>(g)) + ":" + f.text;
    if (!whole) add_gradients(f);
    verify(*f.module);
    OpCase inputs;
    inputs.in = f.in;
    auto x = operands(inputs, seed + static_cast<unsigned>(g));
    if (whole)
      for (Array& a : x) a = a.cast(DType::i64).cast(a.dtype());
    const Result want = run_on(f, "reference", x), got = run_on(f, "cpu", x);
    ASSERT_EQ(got.error, want.error) << what;
    ASSERT_EQ(got.out.size(), want.out.size()) << what;
    ran += got.error.empty();
    for (size_t i = 0; i < got.out.size(); ++i) {
      const auto values = want.out[i].to_vector<double>();
      const bool sound =
          std::all_of(values.begin(), values.end(), [](double v) { return std::abs(v) < 1e6; });
      ++results;
      finite += sound;
      // Whole numbers stay exact only while they are small; real ones tell nothing beyond that either.
      if (sound) {
        ASSERT_EQ(difference(got.out[i], want.out[i], tolerance), "") << what << ", result " << i;
      }
    }
    size_t at = 0;
    while ((at = f.text.find(' ', at)) != std::string::npos) {
      const size_t end = std::min(f.text.size(), f.text.find(' ', at + 1));
      reached.insert(f.text.substr(at + 1, end - at - 1));
      at = end;
    }
  }
  EXPECT_GE(reached.size() * 10, ops.size() * 6)
      << "only " << reached.size() << " of " << ops.size() << " ops were tried";
  EXPECT_GE(ran * 10, graphs * 7) << ran << " of " << graphs << " graphs ran";
  EXPECT_GE(finite, least_finite * results)
      << finite << " of " << results << " results were small enough to compare";
}

class FuzzGraphs : public testing::TestWithParam<DType> {};

TEST_P(FuzzGraphs, OfWholeNumbersAreExact) {
  fuzz(ops_where([](const OpDecl& op) { return kExact.count(op.name()) > 0; }), GetParam(), true, {0, 0, 0},
       150, 1000, 0.8);
}
INSTANTIATE_TEST_SUITE_P(Types, FuzzGraphs, testing::Values(DType::f32, DType::f64, DType::i32, DType::i64),
                         [](const auto& of) { return std::string(to_string(of.param)); });

TEST(FuzzedGraphs, OfRealNumbersAgree) {
  // Chains of ill-conditioned ops magnify the last bits of f64.
  fuzz(ops_where([](const OpDecl& op) { return !jumps(op); }), DType::f64, false, {1e7, 1, 1e7}, 300, 5000,
       0.5);
}

TEST(FuzzedGraphs, KnowTheirOps) {
  for (const std::string& name : kExact) EXPECT_NE(lookup_op(name), nullptr) << name;
}

}  // namespace
}  // namespace fovea::test
