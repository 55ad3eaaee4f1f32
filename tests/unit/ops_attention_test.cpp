// Attention's kernels against its decomposition on the reference backend in fp64.
#include <gtest/gtest.h>

#include "framework/runtime/thread_pool.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"
#include "tests/unit/attention_test_util.h"

namespace fovea::test {
namespace {

Array real(Dims shape, int seed, double low = -1, double high = 1) {
  return random_array(std::move(shape), seed, DType::f64, low, high);
}
Array whole(Dims shape, int seed, double low, double high) {
  return random_array(std::move(shape), seed, DType::i64, low, high);
}
Array truth(Dims shape, int seed) {
  return random_array(std::move(shape), seed, DType::i64, 0, 2).cast(DType::boolean);
}
Array key() {
  Array a(DType::i64, {2});
  a.set_flat(0, 7), a.set_flat(1, 3);
  return a;
}

std::vector<Array> qkv(Dims batch, int64_t lq, int64_t lk, int64_t d, int64_t e, double range = 2) {
  const auto with = [&](int64_t rows, int64_t columns) {
    Dims shape = batch;
    shape.push_back(rows), shape.push_back(columns);
    return shape;
  };
  return {real(with(lq, d), 1, -range, range), real(with(lk, d), 2, -range, range), real(with(lk, e), 3)};
}

AttentionCase make(std::string name, std::vector<Array> in, tiles::Program score,
                   std::vector<Array> leaves = {}) {
  AttentionCase c;
  c.name = std::move(name);
  c.in = std::move(in);
  c.in.insert(c.in.end(), leaves.begin(), leaves.end());
  c.spec.score = std::move(score);
  return c;
}

tiles::Program biased(int leaves) {
  Formula f;
  int32_t x = f.scaled(0.3);
  for (int n = 0; n < leaves; ++n) x = f.add(x, f.leaf(n));
  return f.done(x);
}
tiles::Program softcapped() {
  Formula f;
  const int32_t t = f.p.unary(tiles::Code::tanh, f.scaled(0.3 / 5));
  return f.done(f.mul(t, f.number(5)));
}
tiles::Program window(int64_t left, int64_t right, double fill) {
  Formula f;
  const int32_t low = f.less_equal(f.i(), f.add(f.j(), f.p.integer(left)));
  const int32_t high = f.less_equal(f.j(), f.add(f.i(), f.p.integer(right)));
  return f.done(f.p.select(f.both(low, high), f.scaled(0.4), f.number(fill)));
}
tiles::Program lengths(double fill) {
  Formula f;
  const int32_t inside = f.less(f.j(), f.leaf(0, tiles::Kind::integer));
  return f.done(f.p.select(inside, f.scaled(0.4), f.number(fill)));
}
tiles::Program alibi() {
  Formula f;
  const int32_t distance = f.p.unary(tiles::Code::to_real, f.sub(f.j(), f.i()));
  return f.done(f.add(f.scaled(0.4), f.mul(f.leaf(0), distance)));
}
tiles::Program kept(double fill) {
  Formula f;
  return f.done(f.p.select(f.leaf(0, tiles::Kind::boolean), f.scaled(0.4), f.number(fill)));
}
tiles::Program segments() {
  Formula f;
  const int32_t same =
      f.p.binary(tiles::Code::equal, f.leaf(0, tiles::Kind::integer), f.leaf(1, tiles::Kind::integer));
  return f.done(f.p.select(same, f.scaled(0.4), f.number(-kInf)));
}
tiles::Program dropped(int64_t operand, double p) {
  Formula f;
  const int32_t bits = f.p.random(5, operand);
  const auto threshold = static_cast<int64_t>(p * (1 << 24)) * 256 - (int64_t{1} << 31);
  return f.done(f.p.select(f.less(bits, f.p.integer(threshold)), f.number(0), f.number(1 / (1 - p))));
}
tiles::Program leaf_value(int64_t n) {
  Formula f;
  return f.done(f.leaf(n));
}

std::vector<AttentionCase> cases() {
  std::vector<AttentionCase> all;
  const auto add = [&](AttentionCase c) -> AttentionCase& { return all.emplace_back(std::move(c)); };
  for (int64_t d : {1, 7, 16, 33, 80})
    add(make("plain " + std::to_string(d), qkv({2}, 37, 53, d, d + 3), scaled_score(0.25)));
  add(make("two axes", qkv({}, 40, 40, 16, 16), scaled_score(0.25)));
  add(make("no program", qkv({2, 3}, 12, 20, 8, 8, 1), {}));
  add(make("one query", qkv({3}, 1, 150, 16, 16), scaled_score(0.25)));
  add(make("one query, many keys", qkv({2}, 1, 5000, 16, 16), causal_score(0.25, 4900)));
  add(make("few queries, many keys", qkv({2}, 3, 5000, 16, 19), causal_score(0.25, 100, -1e9)));
  add(make("a few blocks, many keys", qkv({}, 120, 4500, 16, 16), window(200, 3000, -kInf)));
  add(make("one key", qkv({3}, 9, 1, 16, 16), scaled_score(0.25)));
  add(make("long", qkv({2}, 300, 400, 16, 16), scaled_score(0.25)));
  add(make("large scores", qkv({1}, 30, 40, 16, 16, 40), scaled_score(1)));
  add(make("negative scale", qkv({2}, 20, 30, 8, 8), scaled_score(-0.7)));
  for (int64_t offset : {0, 5, -3, 200})
    add(make("causal " + std::to_string(offset), qkv({2}, 150, 170, 16, 16), causal_score(0.25, offset)));
  for (double fill : {-1e9, -1e4, -3e38})
    add(make("causal filled", qkv({2}, 150, 170, 16, 16), causal_score(0.25, -3, fill)));
  add(make("window", qkv({2}, 200, 210, 16, 16), window(20, 3, -kInf)));
  add(make("window filled", qkv({2}, 200, 150, 16, 16), window(20, 3, -1e9)));
  for (double fill : {-kInf, -1e9}) {
    Array n(DType::i64, {3, 1, 1, 1});
    n.set_flat(0, 17), n.set_flat(1, 160), n.set_flat(2, 0);
    add(make("lengths", qkv({3, 2}, 30, 160, 8, 8), lengths(fill), {n}));
    add(make("keep keys", qkv({3, 2}, 30, 160, 8, 8), kept(fill), {truth({3, 1, 1, 160}, 9)}));
    add(make("keep pairs", qkv({3, 2}, 30, 160, 8, 8), kept(fill), {truth({1, 2, 30, 160}, 9)}));
  }
  add(make("segments", qkv({2, 2}, 140, 150, 8, 8), segments(),
           {whole({2, 1, 140, 1}, 4, 0, 3), whole({2, 1, 1, 150}, 5, 0, 3)}));
  for (const Dims& shape : {Dims{2, 3, 20, 30}, Dims{1, 3, 20, 30}, Dims{2, 1, 20, 30}, Dims{1, 1, 20, 30},
                            Dims{2, 1, 1, 30}, Dims{1, 3, 20, 1}, Dims{1, 3, 1, 1}, Dims{1, 1, 1, 1}})
    add(make("bias " + to_string(shape), qkv({2, 3}, 20, 30, 8, 8), biased(1), {real(shape, 11)}));
  add(make("bias over many keys", qkv({2, 3}, 90, 300, 8, 8), biased(1), {real({1, 3, 90, 300}, 11)}));
  add(make("two biases", qkv({2, 3}, 20, 30, 8, 8), biased(2),
           {real({2, 1, 1, 30}, 11), real({1, 3, 20, 30}, 12)}));
  add(make("softcap", qkv({2}, 100, 140, 16, 16), softcapped()));
  add(make("alibi", qkv({2, 3}, 100, 140, 16, 16), alibi(), {real({1, 3, 1, 1}, 6, 0, 0.2)}));
  add(make("sink", qkv({2, 3}, 20, 30, 8, 8), scaled_score(0.25), {real({1, 3, 1, 1}, 6)})).spec.sink =
      leaf_value(0);
  add(make("sink a row", qkv({2, 3}, 100, 30, 8, 8), scaled_score(0.25), {real({2, 3, 100, 1}, 6)}))
      .spec.sink = leaf_value(0);
  add(make("gate", qkv({2, 3}, 20, 30, 8, 8), scaled_score(0.25), {real({1, 3, 20, 30}, 6)})).spec.factor =
      leaf_value(0);
  add(make("dropout", qkv({2, 3}, 100, 140, 16, 16), scaled_score(0.25), {key()})).spec.factor =
      dropped(1, 0.25);
  add(make("causal dropout", qkv({2, 3}, 100, 140, 16, 16), causal_score(0.25), {key()})).spec.factor =
      dropped(1, 0.25);
  for (const char* guard : {"nan", "empty"}) {
    add(make("guard", qkv({2}, 60, 70, 16, 16), causal_score(0.25, -30))).spec.guard = guard;
    add(make("guard of keys", qkv({3, 2}, 30, 160, 8, 8), kept(-kInf),
             {random_array({3, 1, 30, 1}, 9, DType::i64, 0, 2).cast(DType::boolean)}))
        .spec.guard = guard;
  }
  {  // grouped queries, and keys for the whole batch
    auto in = qkv({2, 2, 3}, 20, 140, 8, 8);
    in[1] = real({2, 2, 1, 140, 8}, 21), in[2] = real({2, 2, 1, 140, 8}, 22);
    add(make("grouped", in, causal_score(0.3, 100)));
    in[1] = real({1, 2, 1, 140, 8}, 21), in[2] = real({2, 1, 1, 140, 8}, 22);
    add(make("shared keys", in, causal_score(0.3, 100)));
    in[0] = real({1, 2, 3, 20, 8}, 23);
    add(make("shared queries", in, scaled_score(0.3)));
  }
  add(make("ordered", qkv({2, 3}, 20, 30, 8, 8), scaled_score(0.3))).spec.order = {0, 2, 1, 3};
  add(make("no keys", qkv({2}, 4, 0, 8, 8), scaled_score(0.3)));
  add(make("no queries", qkv({2}, 0, 5, 8, 8), scaled_score(0.3)));
  add(make("no batch", qkv({0}, 4, 5, 8, 8), scaled_score(0.3)));
  add(make("no channels", qkv({2}, 4, 5, 0, 3), scaled_score(0.3)));
  return all;
}

double bound_of(DType t) {
  return t == DType::f64 ? 1e-12 : t == DType::f32 ? 2e-5 : t == DType::f16 ? 4e-3 : 4e-2;
}

// y's and lse's cotangents of a case.
std::vector<Array> cotangents(const AttentionRun& run, int seed) {
  std::vector<Array> w;
  for (const TensorType& t : run.results())
    w.push_back(random_array(evaluate(t.shape, {}), seed++, DType::f64));
  return w;
}

class Attention : public testing::TestWithParam<DType> {};

TEST_P(Attention, AgreesWithItsDecomposition) {
  const DType dtype = GetParam();
  for (AttentionCase c : cases()) {
    c.in = in_type(in_type(c.in, dtype), DType::f64);  // what the operands are after rounding
    const AttentionRun exact(c, DType::f64), run(c, dtype);
    const auto want = exact.forward("reference"), got = run.forward("cpu");
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_EQ(far(got[i], want[i], bound_of(dtype)), "") << c.name << ", result " << i;
    const auto w = in_type(in_type(cotangents(run, 50), dtype), DType::f64);
    const auto want_back = exact.backward("reference", w), got_back = run.backward("cpu", w);
    ASSERT_EQ(want_back.size(), got_back.size());
    for (size_t i = 0; i < want_back.size(); ++i)
      EXPECT_EQ(far(got_back[i], want_back[i], 4 * bound_of(dtype)), "") << c.name << ", gradient " << i;
  }
}
INSTANTIATE_TEST_SUITE_P(Types, Attention, testing::Values(DType::f64, DType::f32, DType::bf16, DType::f16),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(AttentionKernels, RunEveryCase) {
  for (const AttentionCase& c : cases()) {
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
  for (const AttentionCase& c : cases()) {
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
        expect_no_leak(make("keep", in, kept(-kInf), {keep.cast(DType::boolean)}), operand, masked, bad);
        expect_no_leak(make("capped", in, capped_keep, {keep.cast(DType::boolean)}), operand, masked, bad);
        expect_no_leak(make("lengths", in, lengths(-kInf), {n}), operand, {132, 140, 149}, bad);
        expect_no_leak(make("causal", in, causal_score(0.3, 10)), operand, {130, 149}, bad);
        auto dropping = make("dropout", in, kept(-kInf), {keep.cast(DType::boolean), key()});
        dropping.spec.factor = dropped(2, 0.2);
        expect_no_leak(dropping, operand, masked, bad);
      }
}

// Workspace of the fused kernels for one head of this length.
std::pair<int64_t, int64_t> workspaces(int64_t length) {
  const Array x(DType::f32, {1, length, 16});
  AttentionCase c = make("memory", {x, x, x}, causal_score(0.25));
  const AttentionRun run(c, DType::f32);
  std::pair<int64_t, int64_t> bytes;
  for (const char* function : {"f", "g"}) {
    std::vector<Array> args = c.in;
    if (*function == 'g') args.insert(args.end(), {x, Array(DType::f32, {1, length})});
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
