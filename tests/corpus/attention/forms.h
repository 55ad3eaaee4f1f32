// What all tests of the recogniser share: a form is a few lines as a user would write them, with its verdict.
// The untouched trace in fp64 on the reference backend is the judge of results and gradients.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "frontends/cpp/fovea.h"
#include "graph/build/builder.h"
#include "graph/text/text.h"
#include "optim/attention/recognise.h"
#include "optim/explain/explain.h"
#include "optim/explain/launches.h"
#include "tests/support/numerics.h"

namespace fovea::corpus {

inline constexpr double kInf = std::numeric_limits<double>::infinity();

/// Sizes of a form, numbers or symbols.
using Ts = std::vector<Tensor>;
using Specs = std::vector<Spec>;

struct Sizes {
  Dim b = 2, h = 3, q = 5, k = 7, d = 3, e = 4;
};

struct Form {
  const char* name;
  int attentions;  ///< verdict: how many nodes must be found
  std::function<std::vector<Spec>(const Sizes&)> arguments;
  Function body;
  bool symbols = true;                               ///< also traced with B, Lq, Lk as symbols
  bool same_length = false;                          ///< Lq = Lk
  std::function<void(std::vector<Array>&)> prepare;  ///< changes the inputs before they are used

  Form(const char* name, int attentions, std::function<std::vector<Spec>(const Sizes&)> arguments,
       Function body, bool symbols = true, bool same_length = false,
       std::function<void(std::vector<Array>&)> prepare = {})
      : name(name),
        attentions(attentions),
        arguments(std::move(arguments)),
        body(std::move(body)),
        symbols(symbols),
        same_length(same_length),
        prepare(std::move(prepare)) {}
};

inline std::vector<Spec> qkv(const Sizes& s) {
  return {Spec(DType::f64, {s.b, s.h, s.q, s.d}), Spec(DType::f64, {s.b, s.h, s.k, s.d}),
          Spec(DType::f64, {s.b, s.h, s.k, s.e})};
}
/// Arguments q, k, v and more.
inline auto qkv_and(std::function<std::vector<Spec>(const Sizes&)> more) {
  return [more](const Sizes& s) {
    std::vector<Spec> all = qkv(s);
    for (Spec& x : more(s)) all.push_back(std::move(x));
    return all;
  };
}
inline Tensor scores_of(const std::vector<Tensor>& x) { return matmul(x[0], transpose(x[1], -1, -2)); }
inline Tensor top(const Tensor& s) { return max(s, {-1}, true); }
inline Tensor total(const Tensor& e) { return sum(e, {-1}, true); }

inline int count_of(const Graph& graph, const std::string& op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += node.op->name() == op;
  return n;
}

/// The module whose `main` went through the recogniser.
inline std::shared_ptr<Module> recognised(const std::shared_ptr<Module>& module,
                                          std::vector<FusionRecord>* records = nullptr) {
  auto copy = std::make_shared<Module>(*module);
  PassContext context{copy, "cpu"};
  context.records = records;
  auto graph = recognise_attention(copy->function("main"), context);
  if (!graph) return copy;
  verify(*copy, *graph);
  copy->functions["main"] = graph;
  return copy;
}

/// A module whose main gives the results of `module`'s main and the gradients of its floating inputs; the
/// cotangents are further inputs.
inline std::shared_ptr<Module> with_gradients(const std::shared_ptr<Module>& module) {
  auto copy = std::make_shared<Module>(*module);
  auto graph = std::make_shared<Graph>(copy->function("main"));
  graph->name = "forward";
  copy->functions["forward"] = graph;
  copy->functions.erase("main");
  auto builder = Builder::make(copy, "main");
  const TraceScope trace(builder);
  std::vector<Tensor> in;
  Ints wrt, seeds;
  for (size_t i = 0; i < graph->inputs.size(); ++i) {
    in.push_back(builder->input("x" + std::to_string(i), graph->nodes[graph->inputs[i]].outputs[0]));
    if (is_floating(in.back().dtype())) wrt.push_back(static_cast<int64_t>(i));
  }
  for (size_t i = 0; i < graph->outputs.size(); ++i) {
    const TensorType& type = graph->type(graph->outputs[i]);
    if (!is_floating(type.dtype)) continue;
    seeds.push_back(static_cast<int64_t>(i));
    in.push_back(builder->input("g" + std::to_string(i), type));
  }
  const std::vector<Tensor> out =
      apply("vjp", in, {{"function", FunctionRef{"forward"}}, {"wrt", wrt}, {"seeds", seeds}});
  for (const Tensor& y : out) builder->output("y", y);
  builder->finish();
  return copy;
}

inline std::vector<Array> run_reference(const std::shared_ptr<Module>& module, const std::vector<Array>& in) {
  CompileOptions options;
  options.backend = "reference";
  options.optimise = false;
  return Program(module, "main", options).run(in);
}

/// The module with f64 everywhere made f32, attributes and constants included.
inline std::shared_ptr<Module> narrowed(const std::shared_ptr<Module>& module) {
  auto out = std::make_shared<Module>(*module);
  const auto narrow = [](DType t) { return t == DType::f64 ? DType::f32 : t; };
  for (Array& c : out->constants) c = c.cast(narrow(c.dtype()));
  for (auto& [name, graph] : out->functions) {
    graph = std::make_shared<Graph>(*graph);
    for (Node& n : graph->nodes) {
      for (TensorType& t : n.outputs) t.dtype = narrow(t.dtype);
      if (const AttrValue* d = n.attrs.find("dtype"); d && std::holds_alternative<DType>(*d))
        n.attrs.set("dtype", narrow(std::get<DType>(*d)));
    }
  }
  verify(*out);
  return out;
}
inline std::vector<Array> cast_all(const std::vector<Array>& in, DType from, DType to) {
  std::vector<Array> out;
  for (const Array& a : in) out.push_back(a.dtype() == from ? a.cast(to) : a);
  return out;
}

/// Random inputs: numbers in [-1, 1), masks that are mostly true, small integers, keys.
inline std::vector<Array> random_inputs(const Module& module, const Bindings& sizes, uint32_t seed) {
  const auto next = [&seed] {
    seed = seed * 1664525u + 1013904223u;
    return static_cast<double>(seed >> 8) / (1 << 24);
  };
  const Graph& graph = module.function("main");
  std::vector<Array> in;
  for (NodeId id : graph.inputs) {
    const TensorType& t = graph.nodes[id].outputs[0];
    Array a(t.dtype, evaluate(t.shape, sizes));
    for (int64_t i = 0; i < a.size(); ++i) {
      const double u = next();
      a.set_flat(i, t.dtype == DType::boolean ? u < 0.7
                    : is_integer(t.dtype)     ? std::floor(u * 4)
                                              : 2 * u - 1);
    }
    in.push_back(a);
  }
  return in;
}

/// Largest difference relative to the largest value; NaN against NaN is none. NaN alone in `got` is infinite.
inline double difference(const Array& expected, const Array& got) {
  double most = 0, scale = 1e-2;  // what is 0 but for rounding is no error
  for (int64_t i = 0; i < expected.size(); ++i) {
    const double e = expected.get_flat(i), g = got.get_flat(i);
    if (std::isnan(e) && std::isnan(g)) continue;
    if (e == g) {
      if (std::isfinite(e)) scale = std::max(scale, std::fabs(e));
      continue;
    }
    if (!std::isfinite(e) || !std::isfinite(g)) return kInf;
    most = std::max(most, std::fabs(e - g));
    scale = std::max(scale, std::fabs(e));
  }
  return most == 0 ? 0 : most / scale;
}

inline void expect_close(const std::vector<Array>& expected, const std::vector<Array>& got, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(expected.size(), got.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(expected[i].shape(), got[i].shape()) << what << ", result " << i;
    EXPECT_LE(difference(expected[i], got[i]), tolerance) << what << ", result " << i << "\nexpected\n"
                                                          << expected[i].str() << "\ngot\n"
                                                          << got[i].str();
  }
}

/// Every candidate says what became of it, and why.
inline void expect_explained(const std::vector<FusionRecord>& records) {
  for (const FusionRecord& r : records) {
    if (r.region != "attention") continue;
    EXPECT_FALSE(r.sentence.empty()) << r.node;
    EXPECT_FALSE(r.node.empty()) << r.sentence;
    EXPECT_EQ(r.fused, code_of(r).empty()) << r.node << ": " << r.sentence;
    EXPECT_EQ(r.fused, !r.score.empty()) << r.node;
  }
}

/// The launches of the plan that ran last: `count` of attention, and in training as many of its backward
/// pass, each of which some candidate claims.
inline void expect_launches(const Program& program, int count) {
  expect_explained(program.records());
  const auto plan = program.last_plan();
  ASSERT_TRUE(plan);
  try {
    expect_fused(program, "attention", count);
  } catch (const Error& e) {
    ADD_FAILURE() << e.what();
    return;
  }
  if (count == 0) {
    EXPECT_EQ(count_launches(*plan, forward_ops("attention")), 0) << explain(program, plan.get());
    return;
  }
  // Products of equal weights share a launch.
  std::set<const PlanStep*> forward, backward;
  for (const Explanation& e : explanations(program, plan.get())) {
    if (e.record.region != "attention") continue;
    EXPECT_EQ(e.record.fused, e.forward != nullptr) << e.record.sentence;
    EXPECT_EQ(e.record.fused && program.differentiates(), e.backward != nullptr) << e.record.sentence;
    if (e.forward) forward.insert(e.forward);
    if (e.backward) backward.insert(e.backward);
  }
  EXPECT_EQ(static_cast<int>(forward.size()), count) << explain(program, plan.get());
  EXPECT_EQ(static_cast<int>(backward.size()), program.differentiates() ? count : 0)
      << explain(program, plan.get());
}

/// A softmax over one key (rows that see one key only included) is the number 1, and the gradient of its
/// score 0, in the user's operations without any rounding. The fused backward pass makes both anew from
/// scores of up to 10, four of whose units in the last place these are.
inline constexpr double kOneKey = 10 * 4 * 0x1p-23;

/// Compiles a form in f32 for the cpu, with and without gradients, and looks at the plans that run. `exact`:
/// results and gradients of the untouched trace in f64 for the inputs `in`, which f32 holds.
class Compiled {
 public:
  Compiled(const std::shared_ptr<Module>& before, int attentions)
      : attentions_(attentions),
        narrow_(narrowed(before)),
        own_(before->function("main").inputs.size()),
        forward_(narrow_, "main"),
        training_(with_gradients(narrow_), "main"),
        unfused_(with_gradients(narrow_), "main", unfused_options()) {}

  void check(const std::vector<Array>& in, const std::vector<Array>& exact, bool one_key,
             const std::string& what) {
    const std::vector<Array> args = cast_all(in, DType::f64, DType::f32);
    const std::vector<Array> y = forward_.run(std::span(args).first(own_));
    expect_launches(forward_, attentions_);
    const std::vector<Array> all = training_.run(args);
    expect_launches(training_, attentions_);
    const std::vector<Array> plain = unfused_.run(args);
    ASSERT_EQ(count_launches(*unfused_.last_plan(), forward_ops("attention")), 0);
    ASSERT_EQ(all.size(), exact.size());
    for (size_t i = 0; i < all.size(); ++i) {
      const double noise = one_key || is_zero(exact[i]) ? kOneKey : 0;
      const std::string which = what + ", result " + std::to_string(i);
      test::expect_contract(all[i], exact[i], plain[i], which + " in training", noise);
      if (i < y.size()) test::expect_contract(y[i], exact[i], plain[i], which, noise);
    }
  }

 private:
  static bool is_zero(const Array& a) {
    for (int64_t i = 0; i < a.size(); ++i)
      if (std::fabs(a.get_flat(i)) > 1e-12) return false;
    return true;
  }
  static CompileOptions unfused_options() {
    CompileOptions options;
    options.optimise = false;
    return options;
  }

  int attentions_;
  std::shared_ptr<Module> narrow_;
  size_t own_;
  Program forward_, training_, unfused_;
};

/// Traces, counts, and compares results and gradients; then the same of the plans of the cpu in f32.
inline void check_traced(const Form& form, const Sizes& sizes, const std::vector<Bindings>& bindings,
                         const std::string& how) {
  SCOPED_TRACE(std::string(form.name) + ", " + how);
  const auto before = trace(form.body, form.arguments(sizes));
  std::vector<FusionRecord> records;
  const auto after = recognised(before, &records);
  std::string said;
  for (const FusionRecord& r : records)
    said += r.fused ? "fused " + r.score + "\n" : code_of(r) + " " + r.node + ": " + r.sentence + "\n";
  EXPECT_EQ(count_of(after->function("main"), "attention"), form.attentions) << said << print(*after);
  if (::testing::Test::HasFailure() && form.attentions > 0) return;
  const auto before_gradients = with_gradients(before), after_gradients = with_gradients(after);
  Compiled compiled(before, form.attentions);
  uint32_t seed = 17;
  for (const Bindings& b : bindings) {
    std::vector<Array> in = random_inputs(*before_gradients, b, seed++);
    const size_t own = before->function("main").inputs.size();
    std::vector<Array> arguments(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(own));
    if (form.prepare) form.prepare(arguments);
    std::copy(arguments.begin(), arguments.end(), in.begin());
    in = cast_all(cast_all(in, DType::f64, DType::f32), DType::f32, DType::f64);
    const std::vector<Array> exact = run_reference(before_gradients, in);
    expect_close(exact, run_reference(after_gradients, in), 1e-9,
                 std::string(form.name) + " with results and gradients, " + how);
    const bool one_key = std::find(b.begin(), b.end(), std::pair<std::string, int64_t>("Lk", 1)) != b.end();
    compiled.check(in, exact, one_key, std::string(form.name) + " in f32, " + how);
  }
}

inline void check(const Form& form) {
  Sizes sizes;
  if (form.same_length) sizes.q = sizes.k;
  check_traced(form, sizes, {{}}, "numbers");
  if (!form.symbols) return;
  sizes.b = sym("B");
  sizes.q = form.same_length ? sym("L") : sym("Lq");
  sizes.k = form.same_length ? sym("L") : sym("Lk");
  const auto bound = [](int64_t b, int64_t q, int64_t k) {
    return Bindings{{"B", b}, {"Lq", q}, {"Lk", k}, {"L", k}};
  };
  check_traced(form, sizes, {bound(2, 5, 7), bound(1, 1, 9), bound(3, 4, 1)}, "symbols");
}

class Forms : public testing::TestWithParam<Form> {};
inline std::string name_of(const testing::TestParamInfo<Form>& info) { return info.param.name; }
inline void PrintTo(const Form& form, std::ostream* out) { *out << form.name; }

}  // namespace fovea::corpus
