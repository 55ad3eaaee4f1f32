// Random ops: bits against the paper's, decompositions, moments, streams.
#include <cmath>
#include <cstdint>

#include "frontends/cpp/trace.h"
#include "generated/ops.h"
#include "tests/unit/ops_test_util.h"

namespace fovea {
namespace {

using namespace test;

// Philox4x32-10 of counter and key, written out from the paper.
void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p = uint64_t{0xD2511F53} * c[0], q = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t next[4] = {static_cast<uint32_t>(q >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(q),
                              static_cast<uint32_t>(p >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p)};
    std::copy(next, next + 4, c);
    k0 += 0x9E3779B9, k1 += 0xBB67AE85;
  }
}

TEST(Random, BitsAreThoseOfThePaper) {
  const Array key = Array::of<int64_t>({(int64_t{5} << 32) | 77, (int64_t{1} << 40) | 3}, {2});
  uint32_t step[4] = {3, 1u << 8, 0x65766F46u, 0};
  philox(step, 77, 5);
  std::vector<double> want;
  for (uint32_t block = 0; block < 3; ++block) {
    uint32_t c[4] = {block, 0, 6, 0};
    philox(c, step[0], step[1]);
    for (uint32_t w : c) want.push_back(static_cast<int32_t>(w));
  }
  want.pop_back();
  for (const char* backend : {"cpu", "reference"})
    expect_values(run_op_on(backend, "rand_bits", {key}, {{"shape", Shape{11}}, {"ordinal", 6}})[0], {11},
                  want, 0, backend);
}

TEST(Random, KernelsAgreeWithTheirDecompositions) {
  const Array key = Array::of<int64_t>({42, 7}, {2});
  for (const Shape& shape : {Shape{5, 7}, Shape{1}, Shape{0, 3}, Shape{40000}})
    for (const char* op : {"uniform", "normal", "bernoulli", "rand_bits"}) {
      const Attrs attrs{{"shape", shape}, {"ordinal", 2}};
      const Array fast = run_op_on("cpu", op, {key}, attrs)[0],
                  slow = run_op_on("reference", op, {key}, attrs)[0];
      expect_values(fast, slow.shape(), slow.to_vector<double>(), op == std::string("normal") ? 1e-5 : 0, op);
    }
}

TEST(Random, Moments) {
  const Array key = Array::of<int64_t>({1, 0}, {2});
  const int64_t n = 200000;
  const auto moments = [&](const Tensor& t) {
    double m = 0, s = 0;
    for (float v : t.array().to_vector<float>()) m += v, s += v * v;
    return std::pair(m / n, s / n - m / n * m / n);
  };
  const auto [um, uv] = moments(uniform(key, {n}, -1, 3));
  EXPECT_NEAR(um, 1, 0.02);
  EXPECT_NEAR(uv, 16.0 / 12, 0.02);
  const auto [nm, nv] = moments(normal(key, {n}, 2, 3));
  EXPECT_NEAR(nm, 2, 0.04);
  EXPECT_NEAR(nv, 9, 0.15);
  EXPECT_NEAR(moments(cast(bernoulli(key, {n}, 0.3), DType::f32)).first, 0.3, 0.005);
}

TEST(Random, EachCallOfATraceHasItsOwnStream) {
  const auto trace = [] {
    auto module = std::make_shared<Module>();
    auto builder = Builder::make(module, "f");
    const TraceScope scope(builder);
    const Tensor key = builder->input("key", {DType::i64, {2}});
    builder->output("a", uniform(key, {4}));
    {  // a body inside, built while the outer graph is not finished
      auto body = Builder::make(module, "body");
      const TraceScope inner(body);
      body->output("", uniform(body->input("key", {DType::i64, {2}}), {4}));
      body->finish();
    }
    builder->output("b", normal(key, {4}));
    builder->finish();
    std::vector<int64_t> ordinals;
    for (const char* f : {"f", "body"})
      for (const Node& n : module->function(f).nodes)
        if (n.attrs.has("ordinal")) ordinals.push_back(n.attrs.integer("ordinal"));
    return ordinals;
  };
  EXPECT_EQ(trace(), (std::vector<int64_t>{0, 2, 1}));
  EXPECT_EQ(trace(), (std::vector<int64_t>{0, 2, 1}));  // the same code, the same streams
}

}  // namespace
}  // namespace fovea
