// Graphs that are nearly attention, drawn at random with all sizes equal, so that no shape gives a mistake
// away: whatever is found in them, results and gradients stay those of the untouched trace.
#include <algorithm>
#include <random>

#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

constexpr int64_t kSize = 3;

class Damaged {
 public:
  explicit Damaged(uint32_t seed) : random_(seed) {}

  Ts operator()(const Ts& x) {
    Tensor s = contracted(x[0], x[1]);
    for (int k = pick(3); k > 0; --k) s = changed(s, x);
    Tensor p = probabilities(s);
    for (int k = pick(3); k > 0; --k) p = weighted(p, s, x);
    Tensor y = contracted(p, x[2]);
    if (pick(3) == 0) y = y / sum(exp(s), {axis()}, true);
    if (pick(4) == 0) y = shuffled(y);
    if (pick(4) == 0) return {y, p};
    return {y};
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  int64_t axis() { return pick(3) ? 3 : pick(4); }

  // A product over any axis of either operand, perhaps with fewer batch axes.
  Tensor contracted(const Tensor& a, const Tensor& b) {
    static const char* const equations[] = {
        "bhid,bhjd->bhij", "bhij,bhje->bhie", "bhij,bhie->bhje", "bhid,bjhd->bhij", "bhij,bjhe->bhie",
        "bhij,hbje->bhie", "bhij,bhej->bhie", "bhij,bhjd->bhji", "bhij,bgje->bgie", "bhid,bhjd->bhji"};
    if (pick(2)) return matmul(a, pick(2) ? transpose(b, -1, -2) : b);
    std::string e = equations[pick(10)];
    if (e == "bhij,bhjd->bhji") e = "bhij,bhjd->bhdi";
    return einsum(e, {a, b});
  }
  Tensor shuffled(const Tensor& t) {
    switch (pick(4)) {
      case 0: {
        Ints axes{0, 1, 2, 3};
        std::shuffle(axes.begin(), axes.end(), random_);
        return permute(t, axes);
      }
      case 1:
        return reshape(transpose(reshape(t, {kSize * kSize, kSize, kSize}), 0, 1), t.shape());
      case 2:
        return reshape(transpose(reshape(t, {kSize, kSize * kSize, kSize}), 1, 2), t.shape());
      default:
        return flip(t, {axis()});
    }
  }
  Tensor changed(const Tensor& s, const Ts& x) {
    switch (pick(12)) {
      case 0:
        return s * 0.5 + x[3];
      case 1:
        return where(iota({kSize, kSize}, 0) >= iota({kSize, kSize}, 1), s, pick(2) ? -kInf : -5.0);
      case 2:
        return s - max(s, {axis()}, true);
      case 3:
        return s + unsqueeze(select_index(x[3], axis(), 1), pick(4));
      case 4:
        return tanh(s) * 2.0;
      case 5:
        return shuffled(s);
      case 6:
        return s + contracted(x[1], x[3]);
      case 7:
        return s / (1.0 + sum(s * s, {axis()}, true));
      case 8:
        return s * x[3];
      case 9: {
        const int64_t a = axis(), from = pick(4);
        return slice(concat({s, x[3]}, a), a, from, from + kSize);
      }
      case 10:
        return s + s;
      default:
        return s + cast(iota({kSize, 1}, 0) * iota({1, kSize}, 1), DType::f64);
    }
  }
  Tensor probabilities(const Tensor& s) {
    const int64_t a = axis();
    switch (pick(7)) {
      case 0:
      case 1:
        return softmax(s, a);
      case 2: {
        const Tensor e = exp(s - max(s, {a}, true));
        return e / sum(e, {pick(4) ? a : axis()}, true);
      }
      case 3: {
        const Tensor e = exp(s);
        return e / (sum(e, {a}, true) + (pick(2) ? 1.0 : 0.25));
      }
      case 4:
        return exp(s - logsumexp(s, {a}, true));
      case 5: {
        const Tensor e = exp(s);
        return pick(2) ? e : e / (1.0 + e);
      }
      default:
        return exp(log_softmax(s, a));
    }
  }
  Tensor weighted(const Tensor& p, const Tensor& s, const Ts& x) {
    switch (pick(10)) {
      case 0:
        return p * x[3];
      case 1:
        return p / sum(p, {axis()}, true);
      case 2:
        return shuffled(p);
      case 3:
        return p * sigmoid(s);
      case 4:
        return where(iota({kSize, kSize}, 0) >= iota({kSize, kSize}, 1), p, 0.0);
      case 5:
        return p + x[3] * 0.1;
      case 6:
        return p - 0.5 * softmax(x[3], axis());
      case 7:
        return where(is_nan(p), 0.0, p);
      case 8:
        return -p;
      default:
        return p * sum(x[3], {axis()}, true);
    }
  }

  std::mt19937 random_;
};

TEST(Damaged, ResultsStayTheSame) {
  const std::vector<Spec> arguments(4, Spec(DType::f64, {kSize, kSize, kSize, kSize}));
  int fused = 0;
  for (uint32_t seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE(seed);
    Damaged damaged(seed);
    const auto before = trace([&](const Ts& x) { return damaged(x); }, arguments);
    const auto after = recognised(before);
    const int found = count_of(after->function("main"), "attention");
    if (found == 0) continue;
    fused += found;
    const auto gradients = with_gradients(before);
    const auto in = random_inputs(*gradients, {}, seed);
    const auto exact = run_reference(gradients, in);
    expect_close(exact, run_reference(with_gradients(after), in), 1e-8,
                 "graph " + std::to_string(seed) + "\n" + print(*before));
    // The plan of the cpu has as many launches, and the same numbers where the graph's own are finite.
    Program program(gradients, "main");
    std::vector<Array> got = program.run(in);
    for (size_t i = 0; i < got.size(); ++i)
      for (int64_t k = 0; k < got[i].size(); ++k)
        if (const double e = exact[i].get_flat(k); !std::isfinite(e)) got[i].set_flat(k, e);
    expect_close(exact, got, 1e-8, "on the cpu, graph " + std::to_string(seed));
    expect_explained(program.records());
    Program forward(before, "main");
    forward.run(std::span(in).first(before->function("main").inputs.size()));
    expect_launches(forward, found);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(fused, 60);
}

}  // namespace
}  // namespace fovea::corpus
