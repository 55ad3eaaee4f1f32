// Regions of pointwise ops: what becomes one node, what must not, and that results stay.
#include "optim/passes/regions.h"

#include <random>
#include "framework/runtime/thread_pool.h"
#include "graph/build/builder.h"
#include "ops/composite/fused_map/fused_map.h"

#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

// The pass as the cpu backend runs it.
std::shared_ptr<Module> fuse(const std::shared_ptr<Module>& module,
                             std::vector<FusionRecord>* records = nullptr) {
  auto copy = std::make_shared<Module>(*module);
  PassContext context{copy, "cpu", records, Stage::expanded};
  auto graph = fuse_all_regions(copy->function("main"), context);
  if (!graph) return copy;
  verify(*copy, *graph);
  copy->functions["main"] = graph;
  return copy;
}

std::vector<Array> run_on(const char* backend, const std::shared_ptr<Module>& module,
                          const std::vector<Array>& in) {
  CompileOptions options;
  options.backend = backend;
  options.optimise = false;
  return Program(module, "main", options).run(in);
}

struct Net {
  std::shared_ptr<Module> module = std::make_shared<Module>();
  std::shared_ptr<Builder> b = Builder::make(module, "main");
  std::vector<Array> in;

  Tensor input(Dims shape, DType dtype = DType::f32) {
    Array a(DType::f64, shape);
    for (int64_t i = 0; i < a.size(); ++i)
      a.set_flat(i, std::sin(static_cast<double>(i) * 0.7 + static_cast<double>(in.size())));
    in.push_back(a.cast(dtype));
    return b->input("", {dtype, to_shape(shape)});
  }
  Tensor key() {
    Array a(DType::i64, {2});
    a.set_flat(0, 7);
    in.push_back(a);
    return b->input("", {DType::i64, Shape{2}});
  }
  Tensor add(const char* op, std::vector<Tensor> x, Attrs attrs = {}) {
    return b->add(find_op(op), x, std::move(attrs), {})[0];
  }
  void out(const Tensor& y) { b->output("", y); }

  // Puts the pass to work and compares results; returns the ops that are left.
  std::string fused(double tolerance = 2e-6, std::vector<FusionRecord>* records = nullptr) {
    b->finish();
    const auto after = fuse(module, records);
    const auto want = run_on("reference", module, in);
    for (const char* backend : {"cpu", "reference"}) {
      const auto got = run_on(backend, after, in);
      EXPECT_EQ(got.size(), want.size());
      for (size_t k = 0; k < got.size(); ++k) {
        EXPECT_EQ(got[k].dtype(), want[k].dtype());
        EXPECT_EQ(got[k].shape(), want[k].shape());
        for (int64_t i = 0; i < got[k].size(); ++i) {
          const double w = want[k].get_flat(i);
          EXPECT_NEAR(got[k].get_flat(i), w, tolerance * (1 + std::abs(w))) << backend << " result " << k;
          if (testing::Test::HasFailure()) return "";
        }
      }
    }
    return ops_of(*after);
  }
};

const Dims kSpace{4, 24, 40};

TEST(Regions, AChainIsOneNode) {
  Net n;
  const Tensor x = n.input(kSpace), bias = n.input({40});
  n.out(n.add("mul", {n.add("tanh", {n.add("add", {x, bias})}), x}));
  std::vector<FusionRecord> records;
  EXPECT_EQ(n.fused(2e-6, &records), "fused_map");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(records[0].fused);
  EXPECT_EQ(records[0].region, "map");
  EXPECT_EQ(records[0].sentence, "add, tanh and mul over [4, 24, 40] run as one pass over memory");
}

TEST(Regions, OneOpStaysAsItIs) {
  Net n;
  n.out(n.add("gelu", {n.input(kSpace)}));
  EXPECT_EQ(n.fused(), "gelu");
}

TEST(Regions, AValueNeededElsewhereIsAResult) {
  Net n;
  const Tensor x = n.input({64, 64}), y = n.add("exp", {x}), z = n.add("mul", {y, x});
  n.out(n.add("matmul", {y, x}));
  n.out(z);
  EXPECT_EQ(n.fused(2e-5), "fused_map matmul");
}

TEST(Regions, NoGroupAroundAPathThatLeavesIt) {
  Net n;
  const Tensor x = n.input({64, 64}), a = n.add("exp", {x});
  n.out(n.add("add", {a, n.add("matmul", {a, x})}));
  EXPECT_EQ(n.fused(2e-5), "add exp matmul");
}

TEST(Regions, ALaterOperandMovesTheGroup) {
  Net n;
  const Tensor x = n.input({64, 64}), a = n.add("exp", {x});
  const Tensor m = n.add("matmul", {x, x});  // does not read a
  n.out(n.add("add", {a, m}));
  EXPECT_EQ(n.fused(2e-5), "fused_map matmul");
}

TEST(Regions, SumsOfLeadingAndLastAxes) {
  for (const Ints& axes : {Ints{0, 1}, Ints{2}, Ints{1}, Ints{0}}) {
    Net n;
    const Tensor x = n.input(kSpace), y = n.add("relu_backward", {x, n.input(kSpace)});
    n.out(y);
    n.out(n.add("sum", {y}, {{"axes", axes}, {"keepdims", axes.size() == 1}}));
    const std::string ops = n.fused(1e-5);
    EXPECT_EQ(ops, axes == Ints{0}    ? "relu_backward sum"
                   : axes.size() == 1 ? "fused_map reshape"
                                      : "fused_map");
  }
}

TEST(Regions, SumsThroughAReshapeOfTheRows) {
  Net n;
  const Tensor y = n.add("mul", {n.input(kSpace), n.input(kSpace)});
  const Tensor rows = n.add("reshape", {y}, {{"shape", Shape{96, 40}}});
  n.out(n.add("sum", {rows}, {{"axes", Ints{0}}}));
  EXPECT_EQ(n.fused(1e-5), "fused_map");
}

TEST(Regions, DropsTheSameElements) {
  Net n;
  const Tensor x = n.input(kSpace), key = n.key();
  n.out(n.add("add", {n.add("dropout", {x, key}, {{"p", 0.3}, {"ordinal", 5}}), x}));
  EXPECT_EQ(n.fused(), "fused_map");
}

TEST(Regions, MasksCastsAndPositions) {
  Net n;
  const Tensor x = n.input(kSpace), keep = n.input({4, 1, 40}, DType::i64);
  const Tensor at = n.add("iota", {}, {{"shape", Shape{24, 40}}, {"axis", 1}});
  const Tensor early = n.add("less", {n.add("broadcast_to", {at}, {{"shape", Shape{4, 24, 40}}}),
                                      n.add("broadcast_to", {keep}, {{"shape", Shape{4, 24, 40}}})});
  const Tensor zero = n.add("full", {}, {{"shape", Shape{}}, {"value", 0.0}, {"dtype", DType::f32}});
  n.out(n.add("cast", {n.add("where", {early, x, zero})}, {{"dtype", DType::bf16}}));
  const std::string ops = n.fused(1e-2);
  EXPECT_EQ(ops, "fused_map");
}

TEST(Regions, HalfTypesKeepTheirRoundings) {
  Net n;
  const Tensor x = n.input(kSpace, DType::bf16);
  n.out(n.add("exp", {n.add("tanh", {x})}));
  EXPECT_EQ(n.fused(1e-2), "exp tanh");
}

TEST(Regions, OtherShapesAreOtherGroups) {
  Net n;
  const Tensor x = n.input(kSpace), row = n.input({4, 24, 1});
  n.out(n.add("mul", {n.add("tanh", {n.add("exp", {row})}), n.add("exp", {x})}));
  EXPECT_EQ(n.fused(), "exp fused_map tanh");  // the small part is too small
}

// Random graphs of pointwise nodes, products and sums.
TEST(Regions, RandomGraphs) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 engine(seed);
    Net n;
    std::vector<Tensor> v = {n.input({48, 48}), n.input({48, 48}), n.input({48}), n.input({48, 48})};
    const auto pick = [&] { return v[engine() % v.size()]; };
    for (int k = 0; k < 25; ++k) {
      static const char* kUnary[] = {"tanh", "sigmoid", "relu", "neg", "gelu"};
      static const char* kBinary[] = {"add", "sub", "mul", "maximum", "tanh_backward"};
      const auto what = engine() % 10;
      if (what < 4) {
        v.push_back(n.add(kUnary[engine() % 5], {pick()}));
      } else if (what < 8) {
        v.push_back(n.add(kBinary[engine() % 5], {pick(), pick()}));
      } else if (what == 8) {
        v.push_back(n.add("tanh", {n.add("matmul", {n.add("mul", {v[0], pick()}), v[1]})}));
      } else {
        const Tensor x = n.add("sigmoid", {n.add("add", {v[0], pick()})});
        v.push_back(
            n.add("sigmoid", {n.add("sum", {x}, {{"axes", Ints{static_cast<int64_t>(engine() % 2)}}})}));
      }
    }
    for (int k = 0; k < 4; ++k) n.out(pick());
    n.out(v.back());
    n.fused(5e-4);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST(Regions, OnlyWhatPays) {
  for (const bool many : {false, true}) {
    Net n;
    const Tensor x = n.input(kSpace), y = n.input(kSpace);
    Tensor z = n.add("where", {n.add("less", {x, y}), n.add("mul", {x, y}), n.add("add", {x, y})});
    if (!many) z = n.add("gelu", {n.add("add", {x, y})});
    n.out(z);
    n.b->finish();
    std::vector<FusionRecord> records;
    PassContext context{n.module, "cpu", &records, Stage::expanded};
    const auto graph = fuse_regions(n.module->function("main"), context);
    EXPECT_EQ(graph != nullptr, many);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].reason, many ? Reason::none : Reason::cost);
    if (!many) {
      EXPECT_EQ(records[0].sentence, "2 pointwise operations over [4, 24, 40] are faster one by one");
    }
  }
}

TEST(Regions, DeepChainsTakeLinearTime) {
  Net n;
  Tensor x = n.input({32, 32});
  const Tensor first = x;
  for (int k = 0; k < 30000; ++k)
    x = n.add(k % 3 == 2 ? "sub" : "tanh",
              k % 3 == 2 ? std::vector<Tensor>{x, first} : std::vector<Tensor>{x});
  n.out(x);
  n.b->finish();
  const auto after = fuse(n.module);
  const size_t nodes = after->function("main").nodes.size();
  EXPECT_LT(nodes, 2000u);
}

}  // namespace
}  // namespace fovea::test
