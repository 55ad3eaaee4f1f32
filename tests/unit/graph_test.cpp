// The core of the framework end to end: tracing, types, errors, gradients, plans.
#include <gtest/gtest.h>

#include <cmath>

#include "frontends/cpp/control.h"
#include "frontends/cpp/fovea.h"
#include "graph/autodiff/vjp.h"
#include "graph/build/builder.h"
#include "tests/support/errors.h"

using namespace fovea;

namespace {

Array vec(std::vector<double> v) { return Array::of(v, {static_cast<int64_t>(v.size())}); }

using test::error_of;

TEST(Eager, ComputesAtOnce) {
  const Tensor x = Array::of(std::vector<float>{1, 2, 3, 4}, {2, 2});
  const Tensor y = x * 2.0 + x;
  EXPECT_EQ(y.array().to_vector<float>(), (std::vector<float>{3, 6, 9, 12}));
  EXPECT_EQ(sum(y, {1}).array().to_vector<float>(), (std::vector<float>{9, 21}));
}

TEST(Trace, SymbolsServeEverySize) {
  auto module =
      trace([](const std::vector<Tensor>& in) { return std::vector<Tensor>{softmax(in[0] * 0.5, -1)}; },
            {Spec(DType::f32, {sym("B"), sym("L")}, "x")});
  EXPECT_EQ(to_string(module->function("main").type(module->function("main").outputs[0])), "f32[B, L]");
  verify(*module);
  Program program(module, "main");
  for (int64_t b : {1, 3})
    for (int64_t l : {2, 7}) {
      const Array y = program.run({Array::full(DType::f32, {b, l}, 0.3)})[0];
      for (float v : y.to_vector<float>()) EXPECT_NEAR(v, 1.0 / static_cast<double>(l), 1e-6);
    }
  EXPECT_EQ(program.plans(), 4u);
}

TEST(Trace, ErrorsNameOpOperandsAndTheUsersLine) {
  const Tensor a = Array::zeros(DType::f32, {2, 3}), b = Array::zeros(DType::f32, {2, 4});
  const int line = __LINE__ + 1;
  const std::string text = error_of([&] { a + b; });
  EXPECT_NE(text.find("axis 1 is 3 against 4"), std::string::npos) << text;
  EXPECT_NE(text.find("f32[2, 3]"), std::string::npos) << text;
  EXPECT_NE(text.find("graph_test.cpp:" + std::to_string(line)), std::string::npos) << text;
}

TEST(Trace, ReadingATracedValueIsATypedErrorWithAHint) {
  const std::string text = error_of([] {
    trace(
        [](const std::vector<Tensor>& in) {
          const double v = (in[0] + 1.0).item();
          return std::vector<Tensor>{in[0] * v};
        },
        {Spec(DType::f32, {2})});
  });
  EXPECT_NE(text.find("InvalidArgument"), std::string::npos) << text;
  EXPECT_NE(text.find("traced"), std::string::npos) << text;
  EXPECT_NE(text.find("debug_print"), std::string::npos) << text;
}

TEST(Trace, WrongArgumentsAreRefusedWithBothNumbers) {
  auto module = trace([](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] + in[1]}; },
                      {Spec(DType::f32, {sym("B"), 4}, "x"), Spec(DType::f32, {sym("B"), 4}, "y")});
  Program program(module, "main");
  const std::string text = error_of([&] {
    program.run({Array::zeros(DType::f32, {2, 4}), Array::zeros(DType::f32, {3, 4})});
  });
  EXPECT_NE(text.find("'y'"), std::string::npos) << text;
  EXPECT_NE(text.find("axis 0 should be B = 2, is 3"), std::string::npos) << text;
}

TEST(Trace, SymbolsThatStandNowhereAloneAreSolved) {
  const Dim b = sym("B"), n = sym("N");
  auto chunks = trace(
      [&](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{reshape(in[0], {b, n, 4})};
      },
      {Spec(DType::f32, {b, Dim(4) * n}, "x")});
  Program program(chunks, "main");
  EXPECT_EQ(program.run({Array::zeros(DType::f32, {2, 12})})[0].shape(), (Dims{2, 3, 4}));
  const std::string text = error_of([&] { program.run({Array::zeros(DType::f32, {2, 13})}); });
  EXPECT_NE(text.find("nothing determines the symbols of axis 1 (4*N)"), std::string::npos) << text;
}

TEST(Trace, TwoSymbolsNeverBroadcast) {
  const std::string text = error_of([] {
    trace([](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] + in[1]}; },
          {Spec(DType::f32, {sym("B")}), Spec(DType::f32, {sym("L")})});
  });
  EXPECT_NE(text.find("B against L"), std::string::npos) << text;
}

// d/dx of sum(f(x)) by central differences.
std::vector<double> numeric(const Function& f, const std::vector<double>& x, double eps = 1e-6) {
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); ++i) {
    auto hi = x, lo = x;
    hi[i] += eps;
    lo[i] -= eps;
    out.push_back((f({vec(hi)})[0].item() - f({vec(lo)})[0].item()) / (2 * eps));
  }
  return out;
}

TEST(Grad, MatchesDifferencesAndNests) {
  const Function f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(exp(in[0]) * in[0])};
  };
  const std::vector<double> x = {0.3, -1.2, 0.7};
  const auto g = grad(f)({vec(x)})[0].array().to_vector<double>();
  const auto want = numeric(f, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(g[i], want[i], 1e-7);
  // (x e^x)'' = (x + 2) e^x, as the gradient of the summed gradient
  const Function first = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(grad(f)(in)[0])};
  };
  const auto h = grad(first)({vec(x)})[0].array().to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(h[i], (x[i] + 2) * std::exp(x[i]), 1e-12);
  const Function second = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(grad(first)(in)[0])};
  };
  const auto t = grad(second)({vec(x)})[0].array().to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(t[i], (x[i] + 3) * std::exp(x[i]), 1e-11);
}

TEST(Grad, FlowsThroughCapturedValues) {
  const Function f = [](const std::vector<Tensor>& in) {
    const Tensor outer = in[0];
    const Function inner = [&](const std::vector<Tensor>& y) {
      return std::vector<Tensor>{sum(y[0] * y[0] * outer)};
    };
    return std::vector<Tensor>{sum(grad(inner)({outer})[0])};  // sum of 2 x * x
  };
  const auto g = grad(f)({vec({1.5, -2})})[0].array().to_vector<double>();
  EXPECT_NEAR(g[0], 4 * 1.5, 1e-12);
  EXPECT_NEAR(g[1], 4 * -2.0, 1e-12);
}

TEST(Grad, CompositeWithoutARuleGoesThroughItsDecomposition) {
  const Function f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(softmax(in[0]) * in[0])};
  };
  const std::vector<double> x = {0.1, 0.9, -0.4, 0.2};
  const auto g = compile(grad(f))({vec(x)})[0].array().to_vector<double>();
  const auto want = numeric(f, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(g[i], want[i], 1e-7);
}

TEST(Grad, CustomGradientIsUsed) {
  const Function f =
      custom_gradient([](const std::vector<Tensor>& in) { return std::vector<Tensor>{exp(in[0])}; },
                      [](const std::vector<Tensor>& a) { return std::vector<Tensor>{a[2] * 7.0}; });
  const Function loss = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{sum(f(in)[0])}; };
  EXPECT_EQ(grad(loss)({vec({1, 2})})[0].array().to_vector<double>(), (std::vector<double>{7, 7}));
}

TEST(Grad, CheckpointGivesTheSameGradientAndRunsForwardAgain) {
  const Function block = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{exp(exp(in[0] * 0.3))};
  };
  const Function plain = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(block(in)[0])};
  };
  const Function saved = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(checkpoint(block)(in)[0])};
  };
  const Array x = vec({0.2, 0.5});
  EXPECT_EQ(grad(plain)({x})[0].array().to_vector<double>(), grad(saved)({x})[0].array().to_vector<double>());
  auto exps = [&](const Function& f) {
    auto module = trace(value_and_grad(f), {Spec(DType::f64, {2})});
    const auto graph = expand_functions(module, module->function("main"));
    return std::count_if(graph->nodes.begin(), graph->nodes.end(),
                         [](const Node& n) { return n.op->name() == "exp"; });
  };
  EXPECT_EQ(exps(plain), 2);
  EXPECT_EQ(exps(saved), 4);
}

TEST(Scan, RunsAndDifferentiates) {
  // h_t = h_{t-1} * w + x_t ; loss = sum of all h
  const Function f = [](const std::vector<Tensor>& in) {
    const Tensor w = in[0];
    const auto out = scan(
        [&](const std::vector<Tensor>& s) {
          const Tensor h = s[0] * w + s[1];
          return std::vector<Tensor>{h, h};
        },
        {in[1]}, {in[2]});
    return std::vector<Tensor>{sum(out[1])};
  };
  const Array w = Array::scalar(0.5), h0 = Array::scalar(1.0), xs = vec({1, 2, 3});
  // h: 1.5, 2.75, 4.375
  EXPECT_NEAR(f({w, h0, xs})[0].item(), 8.625, 1e-12);
  const auto g = grad(f, {0, 1, 2})({w, h0, xs});
  // dh1/dw = h0 = 1; dh2/dw = h1 + w dh1 = 2; dh3/dw = h2 + w dh2 = 3.75
  EXPECT_NEAR(g[0].item(), 1 + 2 + 3.75, 1e-12);
  EXPECT_NEAR(g[1].item(), 0.5 + 0.25 + 0.125, 1e-12);
  const auto gx = g[2].array().to_vector<double>();
  EXPECT_NEAR(gx[0], 1.75, 1e-12);
  EXPECT_NEAR(gx[2], 1, 1e-12);
}

TEST(While, RepeatsUntilTheConditionFails) {
  const auto out = while_loop(
      [](const std::vector<Tensor>& s) { return std::vector<Tensor>{less(s[0], 100.0)}; },
      [](const std::vector<Tensor>& s) { return std::vector<Tensor>{s[0] * 2.0}; }, {Array::scalar(3.0)});
  EXPECT_EQ(out[0].item(), 192);
}

TEST(Cond, TakesOneBranchAndDifferentiatesIt) {
  const Function f = [](const std::vector<Tensor>& in) {
    return cond(
        less(in[0], 0.0), [](const std::vector<Tensor>& a) { return std::vector<Tensor>{a[0] * a[0]}; },
        [](const std::vector<Tensor>& a) { return std::vector<Tensor>{a[0] * 3.0}; }, {in[0]});
  };
  EXPECT_EQ(f({Array::scalar(-2.0)})[0].item(), 4);
  EXPECT_EQ(grad(f)({Array::scalar(-2.0)})[0].item(), -4);
  EXPECT_EQ(grad(f)({Array::scalar(2.0)})[0].item(), 3);
}

// Errors of control flow, and of functions made out of functions, name the line that made them.
TEST(Control, ErrorsNameTheUsersLine) {
  const Function same = [](const std::vector<Tensor>& a) { return a; };
  const Function wider = [](const std::vector<Tensor>& a) {
    return std::vector<Tensor>{concat({a[0], a[0]}, 0)};
  };
  const Function none = [](const std::vector<Tensor>&) { return std::vector<Tensor>{}; };
  const Tensor x = vec({1, 2, 3}), one = Array::scalar(1.0);
  const auto expect = [&](int line, const std::string& text, const std::function<void()>& f) {
    const std::string message = error_of(f);
    EXPECT_NE(message.find("at tests/unit/graph_test.cpp:" + std::to_string(line)), std::string::npos)
        << message;
    EXPECT_NE(message.find(text), std::string::npos) << message;
    EXPECT_EQ(message.find("frontends/"), std::string::npos) << message;
  };
  expect(__LINE__, "carried tensor 0 goes in as", [&] { scan(wider, {x}, {x}); });
  expect(__LINE__, "scanned operand 1 is a scalar", [&] { scan(same, {}, {x, one}); });
  expect(__LINE__, "scanned operand 1 has 1 steps, the scan 3", [&] { scan(same, {}, {x, vec({1})}); });
  expect(__LINE__, "bool scalar", [&] { while_loop(same, same, {x}); });
  expect(__LINE__, "different types", [&] { cond(less(one, 2.0), same, wider, {x}); });
  expect(__LINE__, "must be a scalar", [&] { cond(less(x, 2.0), same, same, {x}); });
  // Inside a trace as well.
  const Function endless = [&](const std::vector<Tensor>& a) { return while_loop(none, same, a); };
  expect(__LINE__ - 1, "bool scalar", [&] { trace(endless, {Spec(DType::f64, {3})}); });
  expect(__LINE__, "floating scalar", [&] { grad(same)({x}); });
  expect(__LINE__, "argument 4 of a function called with 1", [&] { value_and_grad(same, {4})({x}); });
  // An error inside a body is of the line there.
  const int inside = __LINE__ + 1;
  const Function bad = [&](const std::vector<Tensor>& a) { return std::vector<Tensor>{a[0] + vec({1, 2})}; };
  expect(inside, "3 against 2", [&] { while_loop(same, bad, {x}); });
}

TEST(Plan, DonatedStateIsUpdatedInItsPlace) {
  auto module = trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{sum(in[0]), in[0] * 0.5};
      },
      {Spec(DType::f32, {4})});
  CompileOptions options;
  options.donate = {{0, 1}};
  Program program(module, "main", options);
  Array w = Array::full(DType::f32, {4}, 8);
  const void* memory = w.raw();
  const auto out = program.run({w});
  EXPECT_EQ(out[0].item(), 32);
  EXPECT_EQ(out[1].raw(), memory);
  EXPECT_EQ(out[1].to_vector<float>(), (std::vector<float>{4, 4, 4, 4}));
  EXPECT_NE(error_of([&] { w.to_vector<float>(); }).find("donated"), std::string::npos);
}

TEST(Plan, SwappedDonationsStillGiveTheRightValues) {
  auto module = trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{in[1], in[0]};
      },
      {Spec(DType::f32, {2}), Spec(DType::f32, {2})});
  CompileOptions options;
  options.donate = {{0, 0}, {1, 1}};
  Program program(module, "main", options);
  const auto out = program.run({Array::full(DType::f32, {2}, 1), Array::full(DType::f32, {2}, 2)});
  EXPECT_EQ(out[0].get_flat(0), 2);
  EXPECT_EQ(out[1].get_flat(0), 1);
}

TEST(Plan, MemoryIsReusedAlongAChain) {
  auto module = trace(
      [](const std::vector<Tensor>& in) {
        Tensor x = in[0];
        for (int i = 0; i < 50; ++i) x = exp(x * 0.1);
        return std::vector<Tensor>{sum(x)};
      },
      {Spec(DType::f32, {1 << 16})});
  Program program(module, "main");
  const Array x = Array::zeros(DType::f32, {1 << 16});
  EXPECT_LE(program.plan(std::vector<Array>{x})->arena_bytes, 3 * (int64_t{1} << 18));
}

TEST(Module, VerifierRefusesBrokenGraphs) {
  auto module = trace([](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] + in[0]}; },
                      {Spec(DType::f32, {2})});
  Graph& graph = module->function("main");
  graph.nodes.back().inputs[0].node = 7;
  EXPECT_NE(error_of([&] { verify(*module); }).find("does not come before it"), std::string::npos);
}

}  // namespace
