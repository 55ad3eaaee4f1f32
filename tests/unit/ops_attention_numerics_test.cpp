// Instruction sets agree, and the contract on numerics: the fused kernels' error is at most twice that of the
// user's own operations in the same type, plus four units in the last place of the largest value.
#include <gtest/gtest.h>

#include "tests/support/numerics.h"
#include "tests/unit/attention_cases.h"
#include "tests/unit/simd_test_util.h"

namespace fovea::test {
namespace {

// The decomposition of a case as a function of its own ("f"), and its gradients ("g").
class Unfused {
 public:
  Unfused(const AttentionCase& c, DType dtype) : in_(in_type(c.in, dtype)) {
    auto f = Builder::make(module_, "f");
    Ints wrt;
    {
      TraceScope scope(f);
      std::vector<Tensor> x;
      for (size_t i = 0; i < in_.size(); ++i) {
        x.push_back(f->input("", {in_[i].dtype(), to_shape(in_[i].shape())}));
        if (is_floating(in_[i].dtype())) wrt.push_back(static_cast<int64_t>(i));
      }
      const Attrs attrs = attend::attrs_of(c.spec);
      for (const Tensor& y : find_op("attention").decompose_fn()({x, attrs})) {
        f->output("", y);
        out_.push_back(y.type());
      }
    }
    f->finish();
    auto g = Builder::make(module_, "g");
    std::vector<Tensor> x;
    for (const Array& a : in_) x.push_back(g->input("", {a.dtype(), to_shape(a.shape())}));
    for (const TensorType& t : out_) x.push_back(g->input("", t));
    const auto all = g->add(find_op("vjp"), x,
                            {{"function", FunctionRef{"f"}}, {"wrt", wrt}, {"seeds", Ints{0, 1, 2}}}, {});
    for (size_t i = out_.size(); i < all.size(); ++i) g->output("", all[i]);
    g->finish();
  }

  // Results, then gradients.
  std::vector<Array> run(const std::string& backend, const std::vector<Array>& cotangents) {
    CompileOptions options;
    options.backend = backend;
    options.optimise = false;
    auto all = Program(module_, "f", options).run(in_);
    std::vector<Array> args = in_;
    for (size_t i = 0; i < cotangents.size(); ++i) args.push_back(cotangents[i].cast(out_[i].dtype));
    for (const Array& g : Program(module_, "g", options).run(args)) all.push_back(g);
    return all;
  }

 private:
  std::shared_ptr<Module> module_ = std::make_shared<Module>();
  std::vector<Array> in_;
  std::vector<TensorType> out_;
};

TEST(AttentionNumerics, ErrorIsAtMostTwiceThatOfTheOperations) {
  for (AttentionCase c : attention_cases()) {
    c.in = in_type(in_type(c.in, DType::f32), DType::f64);
    const AttentionRun fused(c, DType::f32);
    const auto w = in_type(in_type(cotangents(fused, 50), DType::f32), DType::f64);
    auto got = fused.forward("cpu");
    for (const Array& g : fused.backward("cpu", w)) got.push_back(g);
    const auto exact = Unfused(c, DType::f64).run("reference", w),
               plain = Unfused(c, DType::f32).run("cpu", w);
    ASSERT_EQ(got.size(), exact.size());
    for (size_t i = 0; i < got.size(); ++i) {
      if (i == 2) continue;  // what rounding left of lse
      expect_contract(got[i], exact[i], plain[i], std::string(c.name) + ", result " + std::to_string(i));
    }
  }
}

// Both passes' gradients of y's cotangent alone, held to the contract.
void expect_gradients_without_noise(AttentionCase c) {
  c.in = in_type(in_type(c.in, DType::f32), DType::f64);
  const AttentionRun fused(c, DType::f32);
  auto w = in_type(in_type(cotangents(fused, 50), DType::f32), DType::f64);
  for (size_t i = 1; i < w.size(); ++i) w[i] = Array::full(DType::f64, w[i].shape(), 0);
  fused.forward("cpu");
  const auto got = fused.backward("cpu", w);
  const auto exact = Unfused(c, DType::f64).run("reference", w), plain = Unfused(c, DType::f32).run("cpu", w);
  const size_t results = exact.size() - got.size();
  for (size_t i = 0; i < got.size(); ++i)
    expect_contract(got[i], exact[results + i], plain[results + i],
                    c.name + ", gradient " + std::to_string(i));
}

// Where one key has all the weight, the gradients of a row's scores cancel; neither a guard nor a factor, a
// sink or keys in several blocks may change that.
TEST(AttentionNumerics, SaturatedRowsHaveNoNoise) {
  for (int64_t keys : {40, 140, 300})
    for (double range : {8, 50, 300}) {
      const auto name = [&](const char* what) {
        return std::string(what) + ", " + std::to_string(keys) + " keys, scores to " + std::to_string(range);
      };
      const auto in = qkv({2}, 30, keys, 16, 16, range);
      for (const char* guard : {"none", "nan", "empty"}) {
        AttentionCase c = make_case(name(guard), in, scaled_score(1));
        c.spec.guard = guard;
        expect_gradients_without_noise(c);
      }
      AttentionCase sink = make_case(name("sink"), in, scaled_score(1), {real({2, 1, 1}, 6)});
      sink.spec.sink = leaf_value(0);
      expect_gradients_without_noise(sink);
      AttentionCase gate = make_case(name("gate"), in, scaled_score(1), {real({1, 30, keys}, 6)});
      gate.spec.factor = leaf_value(0);
      expect_gradients_without_noise(gate);
      for (double p : {0.1, 0.5}) {
        AttentionCase dropout = make_case(name("dropout"), in, scaled_score(1), {key()});
        dropout.spec.factor = dropped(1, p);
        expect_gradients_without_noise(dropout);
      }
      expect_gradients_without_noise(make_case(name("causal"), in, causal_score(1)));
    }
}

TEST(AttentionNumerics, AgreeOnEveryInstructionSet) {
  simd_test::for_each_target([] {
    for (const AttentionCase& c : attention_cases()) check_attention(c, DType::f32);
  });
}

}  // namespace
}  // namespace fovea::test
