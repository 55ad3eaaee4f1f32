// Composite ops are what their decompositions say; core ops are few.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "graph/build/builder.h"
#include "graph/build/inline.h"
#include "tests/support/op_case.h"

namespace fovea::test {
namespace {

constexpr size_t kMostCoreOps = 60;
constexpr int kDeepest = 16;

using Nodes = std::pair<std::shared_ptr<Module>, std::shared_ptr<Graph>>;

// The node of `c` as a function, with each composite in it replaced by its decomposition `depth` times over.
Nodes decomposed(const OpCase& c, int* depth) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f0");
  std::vector<Tensor> args;
  for (const TensorType& t : c.types()) args.push_back(builder->input("", t));
  for (const Tensor& y : builder->add(*c.op, args, c.attrs, {})) builder->output("", y);
  auto graph = builder->finish();
  for (*depth = 0; *depth < kDeepest; ++*depth) {
    if (std::all_of(graph->nodes.begin(), graph->nodes.end(), [](const Node& n) { return n.op->is_core(); }))
      break;
    auto next = Builder::make(module, "f" + std::to_string(*depth + 1));
    std::vector<Tensor> in;
    for (const TensorType& t : c.types()) in.push_back(next->input("", t));
    TraceScope scope(next);
    const auto out =
        inline_graph(*next, *graph, in, [](const Node& node, const std::vector<Tensor>& operands) {
          if (node.op->is_core()) return std::vector<Tensor>{};
          auto results = node.op->decompose_fn()({operands, node.attrs});
          EXPECT_EQ(results.size(), node.outputs.size()) << node.op->name();
          for (size_t i = 0; i < std::min(results.size(), node.outputs.size()); ++i)
            EXPECT_EQ(to_string(results[i].type()), to_string(node.outputs[i]))
                << node.op->name() << ": result " << i << " of its decomposition";
          return results;
        });
    for (const Tensor& y : out) next->output("", y);
    graph = next->finish();
  }
  return {module, graph};
}

class Decomposition : public testing::TestWithParam<const OpDecl*> {};

TEST_P(Decomposition, HasTheTypesAndValuesOfTheOp) {
  const OpDecl& op = *GetParam();
  if (op.is_core()) return;
  // What rounding of intermediate values may do, in units of the largest result.
  const std::map<DType, double> tolerance = {
      {DType::f64, 64}, {DType::f32, 64}, {DType::bf16, 24}, {DType::f16, 64}, {DType::i32, 0}};
  std::mt19937 random(13);
  std::vector<OpCase> cases = sample_cases(op);
  for (const OpCase& sample : sample_cases(op))
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{1, 2, 5, 7}, {0, 3}})
      if (auto other = resized(sample, sizes, random, 2000)) cases.push_back(*other);
  for (const OpCase& sample : cases)
    for (const auto& [dtype, ulps] : tolerance) {
      const auto c = with_dtype(sample, dtype);
      if (!c) continue;
      int depth = 0;
      const auto [module, graph] = decomposed(*c, &depth);
      ASSERT_LT(depth, kDeepest) << c->str() << " never comes down to core ops";
      verify(*module);
      const auto x = operands(*c, 5);
      std::vector<Array> want, got;
      try {
        want = run_case(*c, "cpu", x);
      } catch (const Error& e) {  // bad values, such as an index out of range, are errors both ways
        EXPECT_THROW(Program(module, graph->name).run(x), Error) << c->str() << "\n" << e.what();
        continue;
      }
      ASSERT_NO_THROW(got = Program(module, graph->name).run(x)) << c->str();
      ASSERT_EQ(got.size(), want.size()) << c->str();
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].dtype(), want[i].dtype()) << c->str();
        EXPECT_EQ(difference(got[i], want[i], {ulps, 1, 4}), "") << c->str() << ", result " << i;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Ops, Decomposition, testing::ValuesIn(all_ops()), op_name);

TEST(CoreOps, AreFew) {
  size_t core = 0;
  std::string names;
  for (const OpDecl* op : all_ops())
    if (op->is_core()) ++core, names += " " + op->name();
  EXPECT_LE(core, kMostCoreOps) << names;
}

TEST(CoreOps, HaveReferenceKernels) {
  for (const OpDecl* op : all_ops())
    if (op->is_core() && !is_structural(*op)) {
      EXPECT_FALSE(kernels_for("reference", op->name()).empty() && !op->is_view()) << op->name();
    }
}

}  // namespace
}  // namespace fovea::test
