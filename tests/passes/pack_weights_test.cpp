// Products with constant weights become packed_linear, with what rides on them; others stay.
#include "optim/passes/pack_weights.h"

#include "frontends/cpp/fovea.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

Array random(Dims shape, uint64_t seed) {
  Array a(DType::f32, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    a.data<float>()[i] = static_cast<float>(static_cast<double>(seed >> 40) / 0x1p23 - 1);
  }
  return a;
}

struct Packed {
  std::string ops;
  double apart = 0;  // of the results on the cpu from the untouched graph on the reference backend
};

// Packs what `fn` computes on arguments of these shapes, and runs both ways.
Packed packed(const Function& fn, const std::vector<Dims>& shapes) {
  std::vector<Spec> specs;
  std::vector<Array> in;
  for (const Dims& s : shapes) {
    specs.emplace_back(DType::f32, to_shape(s));
    in.push_back(random(s, 7 + in.size()));
  }
  const auto before = trace(fn, specs);
  auto after = std::make_shared<Module>(*before);
  PassContext context{after, "cpu"};
  context.stage = Stage::expanded;
  if (auto graph = pack_weights(after->function("main"), context)) {
    verify(*after, *graph);
    after->functions["main"] = graph;
  }
  const auto want = run_untouched(before, in);
  CompileOptions options;
  options.optimise = false;
  const auto got = Program(after, "main", options).run(in);
  Packed out{ops_of(*after), 0};
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].shape(), want[i].shape());
    for (int64_t k = 0; k < want[i].size(); ++k)
      out.apart = std::max(out.apart, std::abs(want[i].get_flat(k) - got[i].get_flat(k)));
  }
  return out;
}

const Tensor kWeight = random({20, 140}, 1), kTurned = random({140, 20}, 2), kBias = random({140}, 3);

TEST(PackWeights, ProductsWithConstantsArePacked) {
  const auto product = packed([](const auto& in) { return Tensors{matmul(in[0], kWeight)}; }, {{2, 3, 20}});
  EXPECT_EQ(product.ops, "constant packed_linear");
  EXPECT_LT(product.apart, 1e-5);
  const auto row = packed([](const auto& in) { return Tensors{matmul(in[0], kWeight)}; }, {{20}});
  EXPECT_EQ(row.ops, "constant packed_linear reshape*2");
  EXPECT_LT(row.apart, 1e-5);
  const auto both = packed([](const auto& in) { return Tensors{linear(in[0], kTurned, kBias)}; }, {{7, 20}});
  EXPECT_EQ(both.ops, "constant*2 packed_linear");
  EXPECT_LT(both.apart, 1e-5);
}

TEST(PackWeights, BiasActivationAndResidualRide) {
  auto before = rule_counts();
  const auto all =
      packed([](const auto& in) { return Tensors{in[1] + gelu(kBias + matmul(in[0], kWeight))}; },
             {{9, 20}, {9, 140}});
  EXPECT_EQ(all.ops, "constant*2 packed_linear");
  EXPECT_LT(all.apart, 1e-5);
  for (const char* rule : kPackWeightsRules) EXPECT_GT(rule_counts()[rule], before[rule]) << rule;
  const auto relued =
      packed([](const auto& in) { return Tensors{relu(linear(in[0], kTurned, kBias))}; }, {{5, 20}});
  EXPECT_EQ(relued.ops, "constant*2 packed_linear");
  EXPECT_LT(relued.apart, 1e-5);
  const auto by_tanh =
      packed([](const auto& in) { return Tensors{gelu(matmul(in[0], kWeight), "tanh")}; }, {{5, 20}});
  EXPECT_EQ(by_tanh.ops, "constant packed_linear");
  EXPECT_LT(by_tanh.apart, 1e-5);
}

TEST(PackWeights, OthersStay) {
  // A weight that is an argument; few columns; weights on the left.
  EXPECT_EQ(packed([](const auto& in) { return Tensors{matmul(in[0], in[1])}; }, {{3, 20}, {20, 140}}).ops,
            "matmul");
  const Tensor narrow = random({20, 10}, 4);
  EXPECT_EQ(packed([&](const auto& in) { return Tensors{matmul(in[0], narrow)}; }, {{3, 20}}).ops,
            "constant matmul");
  EXPECT_EQ(packed([](const auto& in) { return Tensors{matmul(kTurned, in[0])}; }, {{20, 60}}).ops,
            "constant matmul");
  // A product that somebody else reads keeps its value; a sum that broadcasts the product is no residual.
  EXPECT_EQ(packed(
                [](const auto& in) {
                  const Tensor y = matmul(in[0], kWeight);
                  return Tensors{gelu(y), y + kBias};
                },
                {{3, 20}})
                .ops,
            "add constant*2 gelu packed_linear");
  EXPECT_EQ(
      packed([](const auto& in) { return Tensors{matmul(in[0], kWeight) + in[1]}; }, {{1, 20}, {4, 140}}).ops,
      "add constant packed_linear");
  // What comes behind a residual is another node's work.
  EXPECT_EQ(packed([](const auto& in) { return Tensors{gelu(in[1] + matmul(in[0], kWeight))}; },
                   {{4, 20}, {4, 140}})
                .ops,
            "constant gelu packed_linear");
}

TEST(PackWeights, OtherBackendsKeepTheirProducts) {
  const auto module =
      trace([](const auto& in) { return Tensors{matmul(in[0], kWeight)}; }, {{DType::f32, {3, 20}}});
  PassContext context{module, "other"};
  EXPECT_EQ(pack_weights(module->function("main"), context), nullptr);
}

}  // namespace
}  // namespace fovea::test
