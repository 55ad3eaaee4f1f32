// Long sequences: neither the results nor the gradients of a fused form need memory of order L*L.
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

constexpr int64_t kLength = 4096, kChannels = 64;

// A spelling of the weights, given the scaled scores and further arguments.
struct Long {
  const char* name;
  std::vector<Spec> more;
  std::function<Tensor(const Tensor& s, const Ts& more)> weights;
};
void PrintTo(const Long& form, std::ostream* out) { *out << form.name; }

Tensor rows(const Tensor& s) { return iota({s.dim(-2), 1}, 0); }
Tensor columns(const Tensor& s) { return iota({1, s.dim(-1)}, 1); }

const Long kForms[] = {
    {"Plain", {}, [](const Tensor& s, const Ts&) { return softmax(s, -1); }},
    {"ByHand",
     {},
     [](const Tensor& s, const Ts&) {
       const Tensor e = exp(s - max(s, {-1}, true));
       return e / sum(e, {-1}, true);
     }},
    {"Causal",
     {},
     [](const Tensor& s, const Ts&) { return softmax(where(columns(s) <= rows(s), s, -kInf), -1); }},
    {"CausalTril",
     {},
     [](const Tensor& s, const Ts&) {
       const Tensor seen = tril(ones({s.dim(-2), s.dim(-1)}, DType::boolean));
       return softmax(where(seen, s, -kInf), -1);
     }},
    {"Alibi",
     {{DType::f32, {1, 1, 1}}},
     [](const Tensor& s, const Ts& x) {
       return softmax(s + x[0] * cast(columns(s) - rows(s), DType::f32), -1);
     }},
    {"Lengths",
     {{DType::i64, {1, 1, 1}}},
     [](const Tensor& s, const Ts& x) { return softmax(where(columns(s) < x[0], s, -kInf), -1); }},
    {"Window",
     {},
     [](const Tensor& s, const Ts&) {
       const Tensor back = rows(s) - columns(s);
       return softmax(where(back >= 0 && back < 128, s, -1e9), -1);
     }},
    {"Softcap", {}, [](const Tensor& s, const Ts&) { return softmax(30.0 * tanh(s / 30.0), -1); }},
    {"Dropout",
     {{DType::i64, {2}}},
     [](const Tensor& s, const Ts& x) {
       const Tensor keep = uniform(x[0], s.shape(), 0, 1, 3) < 0.9;
       return where(keep, softmax(s, -1), 0.0) / 0.9;
     }},
};

class LongForms : public testing::TestWithParam<Long> {};

// Values between arguments and results, and whatever is kept with the plan.
int64_t bytes_of(const Plan& plan) {
  int64_t bytes = plan.arena_bytes;
  for (const Array& c : plan.constants) bytes += c.size() * size_of(c.dtype());
  return bytes;
}

std::shared_ptr<const Plan> plan_of(const Long& form, bool optimise) {
  std::vector<Spec> specs(3, Spec(DType::f32, {1, kLength, kChannels}));
  specs.insert(specs.end(), form.more.begin(), form.more.end());
  const Function loss = [&form](const Ts& x) {
    const Tensor s = matmul(x[0], transpose(x[1], -1, -2)) * 0.125;
    const Tensor y = matmul(form.weights(s, Ts(x.begin() + 3, x.end())), x[2]);
    return Ts{sum(y * y)};
  };
  CompileOptions options;
  options.optimise = optimise;
  const Program program(trace(value_and_grad(loss, {0, 1, 2}), specs), "main", options);
  if (optimise) expect_fused(program, "attention", 1, {});
  return program.plan_for({});
}

TEST_P(LongForms, HoldNothingOfTheScoresSize) {
  constexpr int64_t kScores = 4 * kLength * kLength, kArgument = 4 * kLength * kChannels;
  const auto fused = plan_of(GetParam(), true);
  // A handful of tensors of the arguments' size, and the tiles of every thread.
  EXPECT_LT(bytes_of(*fused), 16 * kArgument);
  EXPECT_LT(bytes_of(*fused), kScores / 4);
  EXPECT_GE(bytes_of(*plan_of(GetParam(), false)), kScores);  // else the bound above says nothing
}
std::string name_of_long(const testing::TestParamInfo<Long>& form) { return form.param.name; }
INSTANTIATE_TEST_SUITE_P(Attention, LongForms, testing::ValuesIn(kForms), name_of_long);

}  // namespace
}  // namespace fovea::corpus
