// Attention's kernels against its decomposition on the reference backend in fp64.
#include <gtest/gtest.h>

#include "framework/runtime/thread_pool.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"
#include "tests/unit/attention_cases.h"

namespace fovea::test {
namespace {

class Attention : public testing::TestWithParam<DType> {};

TEST_P(Attention, AgreesWithItsDecomposition) {
  for (const AttentionCase& c : attention_cases()) check_attention(c, GetParam());
}
INSTANTIATE_TEST_SUITE_P(Types, Attention, testing::Values(DType::f64, DType::f32, DType::bf16, DType::f16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST(AttentionKernels, RunEveryCase) {
  for (const AttentionCase& c : attention_cases()) {
    const AttentionRun run(c, DType::f32);
    for (const char* function : {"f", "g"}) {
      std::vector<Array> args = in_type(c.in, DType::f32);
      if (*function == 'g')
        for (const Array& w : cotangents(run, 50)) args.push_back(w.cast(DType::f32));
      const auto plan = Program(run.passes().module, function, {}).plan(args);
      int fused = 0;
      const std::string op = *function == 'g' ? "attention_backward" : "attention";
      for (const PlanStep& step : plan->steps) {
        fused += step.op == op && step.kernel == "tiles";
        EXPECT_NE(step.op, "softmax") << c.name;
        EXPECT_NE(step.op, "matmul") << c.name;
      }
      EXPECT_EQ(fused, 1) << c.name << ", " << function;
    }
  }
}

TEST(AttentionKernels, GiveEqualBitsForAnyNumberOfThreads) {
  const int before = num_threads();
  for (const AttentionCase& c : attention_cases()) {
    std::vector<Array> first;
    const AttentionRun run(c, DType::f32);
    const auto w = cotangents(run, 50);
    for (int threads : {1, 2, 4}) {
      set_num_threads(threads);
      auto all = run.forward("cpu");
      for (const Array& g : run.backward("cpu", w)) all.push_back(g);
      if (threads == 1) first = all;
      for (size_t i = 0; i < all.size(); ++i)
        for (int64_t k = 0; k < all[i].size(); ++k) {
          const double a = all[i].get_flat(k), b = first[i].get_flat(k);
          ASSERT_TRUE(a == b || (a != a && b != b))
              << c.name << ", result " << i << ", " << threads << " threads";
        }
    }
  }
  set_num_threads(before);
}

// Both passes with `bad` in the operand's rows of these keys, and with zeros there.
void expect_no_leak(const AttentionCase& c, int operand, const std::vector<int64_t>& keys, double bad) {
  AttentionCase clean = c, dirty = c;
  for (auto [which, value] : {std::pair<AttentionCase*, double>{&clean, 0.0}, {&dirty, bad}}) {
    Array& x = which->in[static_cast<size_t>(operand)] = c.in[static_cast<size_t>(operand)].copy();
    const int64_t rows = x.shape()[x.shape().size() - 2], n = x.shape().back();
    for (int64_t i = 0; i < x.size() / (rows * n); ++i)
      for (int64_t j : keys)
        for (int64_t e = 0; e < n; ++e) x.set_flat((i * rows + j) * n + e, value);
  }
  const AttentionRun a(clean, DType::f32), b(dirty, DType::f32);
  const auto w = cotangents(a, 50);
  auto want = a.forward("cpu"), got = b.forward("cpu");
  for (const Array& g : a.backward("cpu", w)) want.push_back(g);
  for (const Array& g : b.backward("cpu", w)) got.push_back(g);
  for (size_t i = 0; i < want.size(); ++i) {
    for (int64_t k = 0; k < got[i].size(); ++k)
      ASSERT_TRUE(std::isfinite(got[i].get_flat(k))) << c.name << ", result " << i << ", element " << k;
    if (i == 2) continue;
    EXPECT_EQ(far(got[i], want[i], 1e-6), "") << c.name << ", result " << i;
  }
}

TEST(AttentionKernels, KeepNanOfMaskedKeysOut) {
  Array keep(DType::i64, {2, 1, 1, 150}), n(DType::i64, {2, 1, 1, 1});
  std::vector<int64_t> masked;
  for (int64_t j = 0; j < 150; ++j) {
    const bool out = j % 7 == 3 || j > 131;
    if (out) masked.push_back(j);
    for (int64_t b : {0, 1}) keep.set_flat(b * 150 + j, out ? 0 : 1);
  }
  n.set_flat(0, 131), n.set_flat(1, 120);
  Formula capped;
  const int32_t t = capped.mul(capped.p.unary(tiles::Code::tanh, capped.scaled(0.1)), capped.number(5));
  const auto capped_keep =
      capped.done(capped.p.select(capped.leaf(0, tiles::Kind::boolean), t, capped.number(-kInf)));
  for (double bad : {std::nan(""), kInf, -kInf})
    for (int operand : {1, 2})
      for (int64_t queries : {2, 90}) {
        const auto in = qkv({2, 2}, queries, 150, 16, 16);
        expect_no_leak(make_case("keep", in, kept(-kInf), {keep.cast(DType::boolean)}), operand, masked, bad);
        expect_no_leak(make_case("capped", in, capped_keep, {keep.cast(DType::boolean)}), operand, masked,
                       bad);
        expect_no_leak(make_case("lengths", in, lengths(-kInf), {n}), operand, {132, 140, 149}, bad);
        expect_no_leak(make_case("causal", in, causal_score(0.3, 10)), operand, {130, 149}, bad);
        auto dropping = make_case("dropout", in, kept(-kInf), {keep.cast(DType::boolean), key()});
        dropping.spec.factor = dropped(2, 0.2);
        expect_no_leak(dropping, operand, masked, bad);
      }
}

// Rows without keys: a factor that selects 0 does so though the probabilities are 0 / 0.
TEST(AttentionKernels, SelectZeroInRowsWithoutKeys) {
  for (int64_t queries : {3, 100})
    for (int64_t keys : {5, 300}) {
      Array keep(DType::boolean, {1, queries, keys}), chosen(DType::boolean, {1, queries, keys});
      for (int64_t i = 0; i < queries; ++i)
        for (int64_t j = 0; j < keys; ++j) {
          keep.set_flat(i * keys + j, i % 3 != 1);
          chosen.set_flat(i * keys + j, i % 3 == 0 || (i % 3 == 2 && j == keys - 1));
        }
      auto c = make_case("selected", qkv({2}, queries, keys, 4, 4), kept(-kInf), {keep, chosen});
      Formula f;
      c.spec.factor = f.done(f.p.select(f.leaf(1, tiles::Kind::boolean), f.number(2), f.number(0)));
      const AttentionRun run(c, DType::f32);
      const auto w = cotangents(run, 7);
      const auto y = run.forward("cpu")[0];
      for (int64_t i = 0; i < y.size(); ++i) {
        ASSERT_TRUE(std::isfinite(y.get_flat(i))) << i;
        if (i / 4 % queries % 3 != 1) continue;
        ASSERT_EQ(y.get_flat(i), 0);
      }
      const Array dv = run.backward("cpu", w)[2];
      for (int64_t i = 0; i < dv.size(); ++i) ASSERT_TRUE(std::isfinite(dv.get_flat(i))) << i;
    }
}

// Workspace of the fused kernels for one head of this length.
std::pair<int64_t, int64_t> workspaces(int64_t length) {
  const Array x(DType::f32, {1, length, 16});
  AttentionCase c = make_case("memory", {x, x, x}, causal_score(0.25));
  const AttentionRun run(c, DType::f32);
  std::pair<int64_t, int64_t> bytes;
  for (const char* function : {"f", "g"}) {
    std::vector<Array> args = c.in;
    if (*function == 'g')
      args.insert(args.end(), {x, Array(DType::f32, {1, length}), Array(DType::f32, {1, length})});
    const auto plan = Program(run.passes().module, function, {}).plan(args);
    (*function == 'f' ? bytes.first : bytes.second) = plan->arena_bytes;
  }
  return bytes;
}

TEST(AttentionKernels, NeedMemoryInProportionToTheLength) {
  const auto a = workspaces(4096), b = workspaces(16384);
  EXPECT_LT(b.first, 16384 * 16 * 4 * 16);
  EXPECT_LE(b.first, 5 * a.first);
  EXPECT_LT(b.second, 16384 * 16 * 4 * 40);
  EXPECT_LE(b.second, 5 * a.second);
}

// Heads cut out of [batch, length, 3 heads channels] go in and out without a copy.
TEST(AttentionKernels, ReadAndWriteHeadsWhereTheyAre) {
  auto module = std::make_shared<Module>();
  auto f = Builder::make(module, "f");
  {
    TraceScope scope(f);
    const Tensor x = f->input("x", {DType::f32, {2, 50, 3 * 4 * 16}});
    const Tensor parts = x.reshape({2, 50, 3, 4, 16}).permute({2, 0, 3, 1, 4});
    std::vector<Tensor> qkv;
    for (int64_t i : {0, 1, 2}) qkv.push_back(squeeze(slice(parts, 0, i, i + 1), {0}));
    AttentionSpec spec;
    spec.score = scaled_score(0.25);
    spec.order = {0, 2, 1, 3};
    f->output("y", attention(qkv[0], qkv[1], qkv[2], {}, spec).y.reshape({2, 50, 64}));
  }
  f->finish();
  Program program(module, "f");
  const auto plan = program.plan(std::vector<Array>{real({2, 50, 192}, 1).cast(DType::f32)});
  std::string steps;
  for (const PlanStep& step : plan->steps) steps += step.op + " ";
  EXPECT_EQ(steps, "attention ");
}

}  // namespace
}  // namespace fovea::test
