// Explanations of made-up records and of real plans.
#include "optim/explain/explain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "frontends/cpp/fovea.h"
#include "optim/explain/formula.h"
#include "optim/explain/launches.h"
#include "optim/explain/words.h"
#include "optim/lower/dispatch.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

FusionRecord fused_record() {
  FusionRecord r;
  r.fused = true;
  r.sentence = "softmax(scale * Q K^T + causal) V";
  r.function = "main";
  r.node = "softmax#17";
  r.scope = "blocks.0.attn";
  r.source = {"model.cpp", 42};
  r.score = "scale 0.125, causal";
  r.saves = "4*B*H*L*L";
  return r;
}

FusionRecord refused_record() {
  FusionRecord r;
  r.reason = Reason::non_pointwise;
  r.detail = "layer_norm";
  r.sentence = "layer_norm stands between the product and the softmax";
  r.function = "main";
  r.node = "layer_norm#9";
  r.source = {"model.cpp", 50};
  r.nearest = "softmax of an elementwise function of Q K^T";
  return r;
}

TEST(Explain, TextOfFusedAndRefused) {
  const std::string text = explanation_text(
      "main", {{refused_record(), nullptr, nullptr}, {fused_record(), nullptr, nullptr}}, nullptr);
  EXPECT_EQ(text,
            "function main: 2 attention candidates: 1 fused, 1 refused\n"
            "\n"
            "fused   attention  blocks.0.attn  model.cpp:42\n"
            "  what      softmax(scale * Q K^T + causal) V\n"
            "  node      softmax#17\n"
            "  score     scale 0.125, causal\n"
            "  saves     4*B*H*L*L bytes\n"
            "\n"
            "refused attention  NON_POINTWISE(layer_norm)  model.cpp:50\n"
            "  because   layer_norm stands between the product and the softmax\n"
            "  node      layer_norm#9\n"
            "  nearest   softmax of an elementwise function of Q K^T\n");
}

TEST(Explain, EqualRegionsAreToldOnce) {
  std::vector<Explanation> all;
  for (int i = 0; i < 5; ++i) {
    FusionRecord r;
    r.region = "map";
    r.fused = true;
    r.sentence = "add, gelu in one pass";
    r.scope = "blocks." + std::to_string(i);
    all.push_back({r, nullptr, nullptr});
  }
  const std::string text = explanation_text("f", all, nullptr);
  EXPECT_NE(text.find("5 other regions: 5 fused, 0 refused"), std::string::npos) << text;
  EXPECT_NE(text.find("fused   map  5 times\n"), std::string::npos) << text;
  EXPECT_NE(text.find("blocks.0; blocks.1; blocks.2; ...\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("blocks.3"), std::string::npos) << text;
}

TEST(Explain, JsonHasEveryCandidate) {
  const Json list = Json::parse(
      explanation_json({{fused_record(), nullptr, nullptr}, {refused_record(), nullptr, nullptr}}));
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["verdict"], "fused");
  EXPECT_EQ(list[0]["code"], "");
  EXPECT_EQ(list[0]["node"], "softmax#17");
  EXPECT_EQ(list[0]["source"], "model.cpp:42");
  EXPECT_EQ(list[0]["score"], "scale 0.125, causal");
  EXPECT_EQ(list[1]["verdict"], "refused");
  EXPECT_EQ(list[1]["code"], "NON_POINTWISE(layer_norm)");
  EXPECT_EQ(list[1]["sentence"], refused_record().sentence);
  EXPECT_EQ(list[1]["nearest"], refused_record().nearest);
  EXPECT_EQ(Json::parse(explanation_json({})), Json::array());
}

TEST(Explain, FormulasReadLikeOnes) {
  using tiles::Code;
  tiles::Program p;
  const int32_t s = p.binary(Code::mul, p.input(0), p.constant(0.125));
  const int32_t causal = p.binary(Code::less_equal, p.iota(-1), p.iota(-2));
  p.results = {p.select(causal, p.binary(Code::sub, s, p.binary(Code::sub, p.input(1), p.constant(2))),
                        p.constant(-INFINITY))};
  EXPECT_EQ(formula(p), "where(j <= i, 0.125*s - (x1 - 2), -inf)");
  EXPECT_EQ(formula(tiles::Program()), "");

  // What is used again and is long gets a name; the text stays short for programs that double at every step.
  tiles::Program doubling;
  int32_t x = doubling.unary(Code::tanh, doubling.input(0));
  for (int i = 0; i < 60; ++i) x = doubling.binary(Code::mul, x, doubling.unary(Code::exp, x));
  doubling.results = {x};
  const std::string text = formula(doubling, false);
  EXPECT_LT(text.size(), 4000u);
  EXPECT_NE(text.find(", t1 = "), std::string::npos) << text;
  EXPECT_NE(text.find("tanh(x0)"), std::string::npos) << text;
}

// A region that is an op of its own, so that its launches can be counted without any pass.
Program norms(int count) {
  return {trace(
              [count](const std::vector<Tensor>& in) {
                Tensor x = in[0];
                for (int i = 0; i < count; ++i) x = layer_norm(x, in[1], in[2]);
                return std::vector<Tensor>{x};
              },
              {{DType::f32, {sym("B"), 8}, "x"}, {DType::f32, {8}, "w"}, {DType::f32, {8}, "b"}}),
          "main"};
}

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::InvalidArgument);
    return e.what();
  }
  return "";
}

TEST(ExpectFused, CountsTheLaunchesOfThePlan) {
  Program program = norms(3);
  const Bindings sizes{{"B", 4}};
  EXPECT_EQ(message_of([&] { expect_fused(program, "layer_norm", 3, sizes); }), "");
  const std::string wrong = message_of([&] { expect_fused(program, "layer_norm", 4, sizes); });
  EXPECT_NE(wrong.find("expected 4 fused kernels for 'layer_norm'; the plan has 3 forward"),
            std::string::npos)
      << wrong;
  EXPECT_NE(wrong.find("function main: "), std::string::npos) << wrong;  // the explanation is there
  EXPECT_EQ(message_of([&] { expect_fused(program, "attention", 0, sizes); }), "");
  EXPECT_NE(message_of([&] { expect_fused(program, "attention", 1, sizes); }), "");
}

TEST(ExpectFused, WithoutSizesItTakesTheLastPlan) {
  Program program = norms(2);
  EXPECT_NE(message_of([&] { expect_fused(program, "layer_norm", 2); }).find("B"), std::string::npos);
  program.run(
      {Array::zeros(DType::f32, {5, 8}), Array::zeros(DType::f32, {8}), Array::zeros(DType::f32, {8})});
  EXPECT_EQ(message_of([&] { expect_fused(program, "layer_norm", 2); }), "");
}

TEST(ExpectFused, TrainingCountsTheBackwardPassToo) {
  const Function loss = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(layer_norm(in[0], in[1], in[2]))};
  };
  const std::vector<Spec> specs{{DType::f32, {4, 8}}, {DType::f32, {8}}, {DType::f32, {8}}};
  const Program program(trace(value_and_grad(loss, {0, 1, 2}), specs), "main");
  EXPECT_TRUE(program.differentiates());
  EXPECT_FALSE(norms(1).differentiates());
  EXPECT_EQ(message_of([&] { expect_fused(program, "layer_norm", 1); }), "");
  EXPECT_NE(message_of([&] { expect_fused(program, "layer_norm", 2); }).find("1 forward and 1 backward"),
            std::string::npos);
}

// A kernel that is asked first and takes next to nothing.
FOVEA_KERNEL(cpu, exp, picky) {
  kernel.priority(1000)
      .when([](const KernelRequest& r) { return r.in[0].rank() == 7; }, "x must have seven axes")
      .prepare([](const KernelRequest&) { return make_prepared([](const KernelArgs&) {}); });
}

TEST(Dispatch, KernelsThatRefuseAreToldWithTheirSentence) {
  register_kernel("cpu", "exp", "picky", fovea_kernel_cpu_exp_picky);
  const auto request = [](const Dims& shape) {
    const OperandSpec x{DType::f32, shape, contiguous_strides(shape)};
    return KernelRequest{"exp", {}, {x}, {x}};
  };
  EXPECT_EQ(dispatch_text(request({2, 3}), "cpu", "simd", {"model.cpp", 7}),
            "exp f32[2, 3] -> f32[2, 3] at model.cpp:7: kernel simd\n"
            "  passed over picky: x must have seven axes\n");
  const Dims seven(7, 1);
  EXPECT_EQ(refusals("cpu", request(seven)), std::vector<std::string>{});  // it is the one that runs
  EXPECT_EQ(refusals("reference", request({2, 3})), std::vector<std::string>{});
}

TEST(Explain, LaunchesInsideLoopsCount) {
  const Function body = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{layer_norm(in[0], in[1], in[1]), in[1]};
  };
  const auto module = trace([&](const std::vector<Tensor>& in) { return scan(body, in, {}, 3); },
                            {{DType::f32, {4, 8}}, {DType::f32, {8}}});
  const Program program(module, "main");
  EXPECT_EQ(count_launches(*program.plan_for({}), {"layer_norm"}), 1);
}

}  // namespace
}  // namespace fovea
