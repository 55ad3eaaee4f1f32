// The cases on which attention is judged: spellings of scores, masks, factors, sinks and shapes.
#pragma once

#include <utility>

#include "tests/unit/attention_test_util.h"

namespace fovea::test {

inline Array real(Dims shape, int seed, double low = -1, double high = 1) {
  return random_array(std::move(shape), seed, DType::f64, low, high);
}
inline Array whole(Dims shape, int seed, double low, double high) {
  return random_array(std::move(shape), seed, DType::i64, low, high);
}
inline Array truth(Dims shape, int seed) {
  return random_array(std::move(shape), seed, DType::i64, 0, 2).cast(DType::boolean);
}
inline Array key() {
  Array a(DType::i64, {2});
  a.set_flat(0, 7), a.set_flat(1, 3);
  return a;
}

inline std::vector<Array> qkv(Dims batch, int64_t lq, int64_t lk, int64_t d, int64_t e, double range = 2) {
  const auto with = [&](int64_t rows, int64_t columns) {
    Dims shape = batch;
    shape.push_back(rows), shape.push_back(columns);
    return shape;
  };
  return {real(with(lq, d), 1, -range, range), real(with(lk, d), 2, -range, range), real(with(lk, e), 3)};
}

inline AttentionCase make_case(std::string name, std::vector<Array> in, tiles::Program score,
                               std::vector<Array> leaves = {}) {
  AttentionCase c;
  c.name = std::move(name);
  c.in = std::move(in);
  c.in.insert(c.in.end(), leaves.begin(), leaves.end());
  c.spec.score = std::move(score);
  return c;
}

inline tiles::Program biased(int leaves) {
  Formula f;
  int32_t x = f.scaled(0.3);
  for (int n = 0; n < leaves; ++n) x = f.add(x, f.leaf(n));
  return f.done(x);
}
inline tiles::Program softcapped() {
  Formula f;
  const int32_t t = f.p.unary(tiles::Code::tanh, f.scaled(0.3 / 5));
  return f.done(f.mul(t, f.number(5)));
}
inline tiles::Program window(int64_t left, int64_t right, double fill) {
  Formula f;
  const int32_t low = f.less_equal(f.i(), f.add(f.j(), f.p.integer(left)));
  const int32_t high = f.less_equal(f.j(), f.add(f.i(), f.p.integer(right)));
  return f.done(f.p.select(f.both(low, high), f.scaled(0.4), f.number(fill)));
}
inline tiles::Program lengths(double fill) {
  Formula f;
  const int32_t inside = f.less(f.j(), f.leaf(0, tiles::Kind::integer));
  return f.done(f.p.select(inside, f.scaled(0.4), f.number(fill)));
}
inline tiles::Program alibi() {
  Formula f;
  const int32_t distance = f.p.unary(tiles::Code::to_real, f.sub(f.j(), f.i()));
  return f.done(f.add(f.scaled(0.4), f.mul(f.leaf(0), distance)));
}
/// 0.4 s - slope * (2 i - j + 3) where j <= i + 40; the slope a leaf or a number.
inline tiles::Program causal_line(bool leaf) {
  Formula f;
  const int32_t twice = f.mul(f.i(), f.p.integer(2));
  const int32_t distance = f.p.unary(tiles::Code::to_real, f.add(f.sub(twice, f.j()), f.p.integer(3)));
  const int32_t x = f.sub(f.scaled(0.4), f.mul(leaf ? f.leaf(0) : f.number(0.1), distance));
  const int32_t seen = f.less_equal(f.j(), f.add(f.i(), f.p.integer(40)));
  return f.done(f.p.select(seen, x, f.number(-kInf)));
}
inline tiles::Program kept(double fill) {
  Formula f;
  return f.done(f.p.select(f.leaf(0, tiles::Kind::boolean), f.scaled(0.4), f.number(fill)));
}
inline tiles::Program documents(double fill) {
  Formula f;
  const int32_t same =
      f.p.binary(tiles::Code::equal, f.leaf(0, tiles::Kind::integer), f.leaf(1, tiles::Kind::integer));
  return f.done(f.p.select(same, f.scaled(0.4), f.number(fill)));
}
/// Ascending document numbers, `each` tokens in a document.
inline Array document_numbers(Dims shape, int64_t each) {
  Array a(DType::i64, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, i / each);
  return a;
}
inline tiles::Program dropped(int64_t operand, double p) {
  Formula f;
  const int32_t bits = f.p.random(5, operand);
  const auto threshold = static_cast<int64_t>(p * (1 << 24)) * 256 - (int64_t{1} << 31);
  return f.done(f.p.select(f.less(bits, f.p.integer(threshold)), f.number(0), f.number(1 / (1 - p))));
}
inline tiles::Program leaf_value(int64_t n) {
  Formula f;
  return f.done(f.leaf(n));
}

inline std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> all;
  const auto add = [&](AttentionCase c) -> AttentionCase& { return all.emplace_back(std::move(c)); };
  for (int64_t d : {1, 7, 16, 33, 80})
    add(make_case("plain " + std::to_string(d), qkv({2}, 37, 53, d, d + 3), scaled_score(0.25)));
  add(make_case("two axes", qkv({}, 40, 40, 16, 16), scaled_score(0.25)));
  add(make_case("no program", qkv({2, 3}, 12, 20, 8, 8, 1), {}));
  add(make_case("one query", qkv({3}, 1, 150, 16, 16), scaled_score(0.25)));
  add(make_case("one query, many keys", qkv({2}, 1, 5000, 16, 16), causal_score(0.25, 4900)));
  add(make_case("few queries, many keys", qkv({2}, 3, 5000, 16, 19), causal_score(0.25, 100, -1e9)));
  add(make_case("a few blocks, many keys", qkv({}, 120, 4500, 16, 16), window(200, 3000, -kInf)));
  add(make_case("one key", qkv({3}, 9, 1, 16, 16), scaled_score(0.25)));
  add(make_case("long", qkv({2}, 300, 400, 16, 16), scaled_score(0.25)));
  add(make_case("long, many heads", qkv({5, 7}, 150, 140, 8, 8), causal_score(0.25)));
  add(make_case("large scores", qkv({1}, 30, 40, 16, 16, 40), scaled_score(1)));
  add(make_case("negative scale", qkv({2}, 20, 30, 8, 8), scaled_score(-0.7)));
  for (int64_t offset : {0, 5, -3, 200})
    add(make_case("causal " + std::to_string(offset), qkv({2}, 150, 170, 16, 16),
                  causal_score(0.25, offset)));
  for (double fill : {-1e9, -1e4, -3e38})
    add(make_case("causal filled", qkv({2}, 150, 170, 16, 16), causal_score(0.25, -3, fill)));
  add(make_case("window", qkv({2}, 200, 210, 16, 16), window(20, 3, -kInf)));
  add(make_case("window filled", qkv({2}, 200, 150, 16, 16), window(20, 3, -1e9)));
  for (double fill : {-kInf, -1e9}) {
    Array n(DType::i64, {3, 1, 1, 1});
    n.set_flat(0, 17), n.set_flat(1, 160), n.set_flat(2, 0);
    add(make_case("lengths", qkv({3, 2}, 30, 160, 8, 8), lengths(fill), {n}));
    add(make_case("keep keys", qkv({3, 2}, 30, 160, 8, 8), kept(fill), {truth({3, 1, 1, 160}, 9)}));
    add(make_case("keep pairs", qkv({3, 2}, 30, 160, 8, 8), kept(fill), {truth({1, 2, 30, 160}, 9)}));
  }
  add(make_case("segments", qkv({2, 2}, 140, 150, 8, 8), documents(-kInf),
                {whole({2, 1, 140, 1}, 4, 0, 3), whole({2, 1, 1, 150}, 5, 0, 3)}));
  for (const Dims& shape : {Dims{2, 3, 20, 30}, Dims{1, 3, 20, 30}, Dims{2, 1, 20, 30}, Dims{1, 1, 20, 30},
                            Dims{2, 1, 1, 30}, Dims{1, 3, 20, 1}, Dims{1, 3, 1, 1}, Dims{1, 1, 1, 1}})
    add(make_case("bias " + to_string(shape), qkv({2, 3}, 20, 30, 8, 8), biased(1), {real(shape, 11)}));
  add(make_case("bias over many keys", qkv({2, 3}, 90, 300, 8, 8), biased(1), {real({1, 3, 90, 300}, 11)}));
  add(make_case("two biases", qkv({2, 3}, 20, 30, 8, 8), biased(2),
                {real({2, 1, 1, 30}, 11), real({1, 3, 20, 30}, 12)}));
  add(make_case("softcap", qkv({2}, 100, 140, 16, 16), softcapped()));
  add(make_case("alibi", qkv({2, 3}, 100, 140, 16, 16), alibi(), {real({1, 3, 1, 1}, 6, 0, 0.2)}));
  add(make_case("steep line", qkv({2, 3}, 100, 300, 16, 16), causal_line(true), {real({2, 1, 1, 1}, 6)}));
  add(make_case("line", qkv({2, 3}, 100, 300, 16, 16), causal_line(false)));
  add(make_case("sink", qkv({2, 3}, 20, 30, 8, 8), scaled_score(0.25), {real({1, 3, 1, 1}, 6)})).spec.sink =
      leaf_value(0);
  add(make_case("sink a row", qkv({2, 3}, 100, 30, 8, 8), scaled_score(0.25), {real({2, 3, 100, 1}, 6)}))
      .spec.sink = leaf_value(0);
  add(make_case("gate", qkv({2, 3}, 20, 30, 8, 8), scaled_score(0.25), {real({1, 3, 20, 30}, 6)}))
      .spec.factor = leaf_value(0);
  add(make_case("dropout", qkv({2, 3}, 100, 140, 16, 16), scaled_score(0.25), {key()})).spec.factor =
      dropped(1, 0.25);
  add(make_case("causal dropout", qkv({2, 3}, 100, 140, 16, 16), causal_score(0.25), {key()})).spec.factor =
      dropped(1, 0.25);
  for (const char* guard : {"nan", "empty"}) {
    add(make_case("guard", qkv({2}, 60, 70, 16, 16), causal_score(0.25, -30))).spec.guard = guard;
    add(make_case("guard of keys", qkv({3, 2}, 30, 160, 8, 8), kept(-kInf),
                  {random_array({3, 1, 30, 1}, 9, DType::i64, 0, 2).cast(DType::boolean)}))
        .spec.guard = guard;
  }
  {  // grouped queries, and keys for the whole batch
    auto in = qkv({2, 2, 3}, 20, 140, 8, 8);
    in[1] = real({2, 2, 1, 140, 8}, 21), in[2] = real({2, 2, 1, 140, 8}, 22);
    add(make_case("grouped", in, causal_score(0.3, 100)));
    in[1] = real({1, 2, 1, 140, 8}, 21), in[2] = real({2, 1, 1, 140, 8}, 22);
    add(make_case("shared keys", in, causal_score(0.3, 100)));
    in[0] = real({1, 2, 3, 20, 8}, 23);
    add(make_case("shared queries", in, scaled_score(0.3)));
  }
  add(make_case("ordered", qkv({2, 3}, 20, 30, 8, 8), scaled_score(0.3))).spec.order = {0, 2, 1, 3};
  add(make_case("no keys", qkv({2}, 4, 0, 8, 8), scaled_score(0.3)));
  add(make_case("no queries", qkv({2}, 0, 5, 8, 8), scaled_score(0.3)));
  add(make_case("no batch", qkv({0}, 4, 5, 8, 8), scaled_score(0.3)));
  // Whole tiles without a key, and tiles that are one number; the last queries find no document.
  for (double fill : {-kInf, -1e9, -20.0})
    add(make_case("documents", qkv({2}, 640, 560, 8, 8), documents(fill),
                  {document_numbers({1, 640, 1}, 140), document_numbers({1, 1, 560}, 140)}));
  {
    Array blocks(DType::i64, {1, 300, 600});
    for (int64_t i = 0; i < blocks.size(); ++i) blocks.set_flat(i, i % 600 / 256 != 1 && i / 600 < 250);
    for (double fill : {-kInf, -1e9})
      add(make_case("dense blocks", qkv({2}, 300, 600, 8, 8), kept(fill), {blocks.cast(DType::boolean)}));
    Array dense(DType::f64, {1, 1, 300, 600});
    for (int64_t i = 0; i < dense.size(); ++i) dense.set_flat(i, i % 600 < 256 ? -kInf : 0.01 * (i % 7));
    add(make_case("dense additive", qkv({2, 2}, 300, 600, 8, 8), biased(1), {dense}));
  }
  add(make_case("no values", qkv({2}, 4, 5, 3, 0), scaled_score(0.3)));
  add(make_case("no channels", qkv({2}, 4, 5, 0, 3), scaled_score(0.3)));
  return all;
}

// y's and lse's cotangents of a case.
inline std::vector<Array> cotangents(const AttentionRun& run, int seed) {
  std::vector<Array> w;
  for (const TensorType& t : run.results())
    w.push_back(random_array(evaluate(t.shape, {}), seed++, DType::f64));
  return w;
}

/// How far the kernels may be off, in units of the largest element.
inline double bound_of(DType t) {
  return t == DType::f64 ? 1e-12 : t == DType::f32 ? 2e-5 : t == DType::f16 ? 4e-3 : 4e-2;
}

/// Both passes of the kernels against the decomposition on the reference backend in fp64.
inline void check_attention(AttentionCase c, DType dtype) {
  c.in = in_type(in_type(c.in, dtype), DType::f64);  // what the operands are after rounding
  const AttentionRun exact(c, DType::f64), run(c, dtype);
  const auto want = exact.forward("reference"), got = run.forward("cpu");
  for (size_t i = 0; i < 2; ++i)  // y and lse; the rest is rounding
    EXPECT_EQ(far(got[i], want[i], bound_of(dtype)), "") << c.name << ", result " << i;
  const auto w = in_type(in_type(cotangents(run, 50), dtype), DType::f64);
  const auto want_back = exact.backward("reference", w), got_back = run.backward("cpu", w);
  ASSERT_EQ(want_back.size(), got_back.size());
  for (size_t i = 0; i < want_back.size(); ++i)
    EXPECT_EQ(far(got_back[i], want_back[i], 4 * bound_of(dtype)), "") << c.name << ", gradient " << i;
}

}  // namespace fovea::test
