// Every CPU kernel against the reference backend in fp64: all types it takes, odd and empty shapes, strided
// operands.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>

#include "tests/support/op_case.h"

namespace fovea::test {
namespace {

// The published accuracy of each op, in ulps of the result's type (f16 and bf16 compute in f32 and round
// once). An ulp is taken of the result itself unless the op adds terms of both signs: then of the largest
// result, since what cancels leaves the rounding of what was there before.
constexpr Tolerance kElementwise{2, 0}, kCancelling{4, 1, 1};
const std::map<std::string, Tolerance> kAccuracy = {
    {"adam_update", kCancelling},
    {"additive_scores", {16, 1, 1}},
    {"additive_scores_backward", {32, 1, 1}},  // sums over the rows one by one
    {"attention", {32, 1, 64}},                // its third result is what rounding took from the second
    {"attention_backward", {64, 1, 1}},        // five products after one another
    {"avg_pool2d", kCancelling},
    {"avg_pool2d_backward", kCancelling},
    {"batch_norm_inference", kCancelling},
    {"batch_norm_train",
     {8, 1, 2000}},  // a constant channel is divided by sqrt(eps), which magnifies its mean's rounding
    {"batch_norm_train_backward", {64, 1, 1}},
    {"bias_activation_backward", {32, 1, 1}},  // sums over the rows one by one
    {"conv2d", {32, 1, 1}},
    {"conv2d_backward_input", {32, 1, 1}},
    {"conv2d_backward_weight", {32, 1, 1}},
    {"cross_entropy", kCancelling},
    {"cross_entropy_backward", kCancelling},
    {"ema_update", kCancelling},
    {"embedding_backward", {32, 1, 1}},  // one rounding an addend
    {"fused_map", {32, 1, 1}},           // sums over the rows one by one
    {"gelu", kCancelling},
    {"gelu_backward", kCancelling},
    {"global_norm", {8, 0}},
    {"gru_gates", kCancelling},
    {"gru_gates_backward", kCancelling},
    {"layer_norm", {8, 1, 2000}},         // as batch_norm_train
    {"layer_norm_backward", {32, 1, 1}},  // sums over the rows one by one
    {"linear", {32, 1, 1}},
    {"linear_cross_entropy", {32, 1, 16}},  // gradients that cancel to nothing
    {"log_softmax", kCancelling},
    {"log_softmax_backward", kCancelling},
    {"logsumexp", kCancelling},
    {"lstm_gates", kCancelling},
    {"lstm_gates_backward", kCancelling},
    {"matmul", {32, 1, 1}},
    {"packed_linear", {32, 1, 1}},
    {"max_pool2d_backward", kCancelling},
    {"normal", kCancelling},          // the logarithm of a number near 1
    {"prod", {128, 0}},               // one rounding a factor
    {"residual_norm", {8, 1, 2000}},  // as layer_norm
    {"residual_norm_backward", {32, 1, 1}},
    {"rms_norm", kCancelling},
    {"rms_norm_backward", {32, 1, 1}},  // sums over the rows one by one
    {"scatter_add", {32, 1, 1}},        // one rounding an addend
    {"scatter_along_axis", kCancelling},
    {"sgd_update", kCancelling},
    {"silu_backward", kCancelling},
    {"softmax", {4, 0}},
    {"softmax_backward", kCancelling},
    {"sum", {16, 1, 16}},
    {"tan", {4, 0}},
    {"tanh", {4, 0}},
    {"tanh_backward", kCancelling},
};

// In f64 the judge rounds as often as the kernel does, so ops that sum are allowed more.
Tolerance accuracy(const std::string& op, DType dtype) {
  const auto at = kAccuracy.find(op);
  if (at == kAccuracy.end()) return kElementwise;
  Tolerance t = at->second;
  if (dtype == DType::f64) t.ulps *= 4, t.absolute *= 4;
  return t;
}

constexpr int kVariations = 8;

std::set<std::string> seen;  // kernels that ran: "op/kernel"
std::map<std::string, double> worst;

// nullopt-like empty result where the backend threw; the message is kept.
struct Outcome {
  std::vector<Array> out;
  std::string error;
};
Outcome outcome(const OpCase& c, const std::string& backend, const std::vector<Array>& in) {
  try {
    return {run_case(c, backend, in), ""};
  } catch (const Error& e) {
    return {{}, e.what()};
  }
}

void check_case(const OpCase& c, const std::vector<Array>& x, const char* layout) {
  const Kernel* kernel = kernel_for(request_of(c, x));
  if (!kernel) return;  // the plain loops serve it on both backends
  const std::string what = c.str() + ", " + layout + ", kernel " + kernel->name();
  Outcome got, want = outcome(widened(c), "reference", widened(x));
  try {
    const auto program = program_of(c, "cpu");
    const auto plan = program->plan(x);
    bool ran = c.op->is_view();
    for (const PlanStep& step : plan->steps)
      ran = ran || (step.op == c.op->name() && step.kernel == kernel->name());
    const bool constant = c.in.empty();  // computed when the plan was made
    ASSERT_TRUE(ran || constant) << what << " was not chosen";
    got.out = guarded_run(*plan, x);
  } catch (const Error& e) {
    got.error = e.what();
  }
  seen.insert(c.op->name() + "/" + kernel->name());
  ASSERT_EQ(got.error.empty(), want.error.empty())
      << what << "\ncpu: " << got.error << "\nreference: " << want.error;
  for (size_t i = 0; i < got.out.size(); ++i)
    ASSERT_EQ(
        difference(got.out[i], want.out[i], accuracy(c.op->name(), got.out[i].dtype()), &worst[c.op->name()]),
        "")
        << what << ", result " << i;
}

// Results that take over an operand's memory have the bits of those that do not.
void check_in_place(const OpCase& c, const std::vector<Array>& x) {
  const Kernel* kernel = kernel_for(request_of(c, x));
  if (!kernel) return;
  const Outcome plain = outcome(c, "cpu", x);
  for (int o = 0; o < static_cast<int>(plain.out.size()) && o < 8; ++o)
    for (int i = 0; i < static_cast<int>(x.size()); ++i) {
      if (!(kernel->in_place_masks()[o] >> i & 1) || x[i].shape() != plain.out[o].shape() ||
          x[i].dtype() != plain.out[o].dtype())
        continue;
      std::vector<Array> given;
      for (const Array& a : x) given.push_back(a.copy());
      const auto y = program_of(c, "cpu", {{i, o}})->run(given);
      for (size_t k = 0; k < y.size(); ++k)
        ASSERT_EQ(bit_difference(y[k], plain.out[k]), "")
            << c.str() << ", operand " << i << " given to result " << o << ", result " << k;
    }
}

class Kernels : public testing::TestWithParam<const OpDecl*> {};

TEST_P(Kernels, AgreeWithTheReference) {
  const OpDecl& op = *GetParam();
  const auto& kernels = kernels_for("cpu", op.name());
  if (kernels.empty()) return;
  std::mt19937 random(7);
  const std::vector<int64_t> odd = {1, 2, 3, 5, 17, 33, 127};
  int tried = 0;
  for (const OpCase& sample : sample_cases(op))
    for (int t = 0; t < kDTypeCount; ++t) {
      const auto typed = with_dtype(sample, static_cast<DType>(t));
      if (!typed) continue;
      std::vector<OpCase> cases = {*typed};
      for (int i = 0; i < kVariations; ++i)
        if (auto other = resized(*typed, odd, random, 8000)) cases.push_back(*other);
      if (auto empty = resized(*typed, {0, 3}, random, 1000)) cases.push_back(*empty);
      for (const OpCase& c : cases) {
        const auto x = operands(c, static_cast<unsigned>(100 + tried++));
        check_case(c, x, "row-major");
        check_in_place(c, x);
        if (HasFatalFailure()) return;
        const std::pair<Layout, const char*> layouts[] = {{Layout::transposed, "transposed"},
                                                          {Layout::stepped, "stepped"},
                                                          {Layout::broadcast, "broadcast"}};
        for (const auto& [layout, name] : layouts) {
          auto strided = x;
          for (size_t i = 0; i < x.size(); ++i)
            if (c.in.size() < 2 || random() % 3) strided[i] = with_layout(x[i], layout);
          if (layout == Layout::broadcast) make_consistent(c, strided);
          check_case(c, strided, name);
          if (HasFatalFailure()) return;
        }
      }
    }
  for (const Kernel* k : kernels)
    EXPECT_TRUE(seen.count(op.name() + "/" + k->name()))
        << "no case reached the kernel " << op.name() << "/" << k->name();
  if (std::getenv("FOVEA_SHOW_ACCURACY")) std::cout << op.name() << " " << worst[op.name()] << " ulps\n";
}

INSTANTIATE_TEST_SUITE_P(Ops, Kernels, testing::ValuesIn(all_ops()), op_name);

TEST(Accuracy, NamesOpsWithKernels) {
  for (const auto& [name, tolerance] : kAccuracy) EXPECT_FALSE(kernels_for("cpu", name).empty()) << name;
}

}  // namespace
}  // namespace fovea::test
