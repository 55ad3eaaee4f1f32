// All passes on long chains: time a node stays the same however long the chain, on a small stack.
#include <pthread.h>

#include <chrono>

#include "optim/rewrite/optimise.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

// Nodes that no rule changes, and with `work` a third that go: x*1, a copy of a node, dead code.
std::shared_ptr<Module> chain(int64_t nodes, bool work) {
  auto module = std::make_shared<Module>();
  auto graph = std::make_shared<Graph>();
  graph->name = "main";
  const TensorType type{DType::f32, {Dim(4)}};
  const auto add = [&](const char* op, std::vector<Value> in, Attrs attrs = {}, TensorType t = {}) {
    graph->nodes.push_back({&find_op(op), std::move(attrs), std::move(in), {t}, {}, 0});
    return Value{static_cast<NodeId>(graph->nodes.size()) - 1, 0};
  };
  Value x = add("input", {}, {{"name", "x"}, {"dtype", type.dtype}, {"shape", type.shape}}, type);
  graph->inputs = {x.node};
  const Value one =
      add("full", {}, {{"shape", Shape{}}, {"value", 1.0}, {"dtype", DType::f32}}, {DType::f32, {}});
  while (static_cast<int64_t>(graph->nodes.size()) < nodes) {
    x = add("exp", {x}, {}, type);
    if (work) {
      const Value y = add("sin", {x}, {}, type), z = add("sin", {x}, {}, type);
      add("tanh", {x}, {}, type);
      x = add("sub", {add("mul", {y, one}, {}, type), z}, {}, type);
    }
    x = add("sum", {add("reshape", {x}, {{"shape", Shape{2, 2}}}, {DType::f32, {2, 2}})},
            {{"axes", Ints{1}}, {"keepdims", true}}, {DType::f32, {2, 1}});
    x = add("reshape", {add("broadcast_to", {x}, {{"shape", Shape{2, 2}}}, {DType::f32, {2, 2}})},
            {{"shape", Shape{4}}}, type);
  }
  graph->outputs = {x};
  graph->output_names = {""};
  module->functions["main"] = graph;
  return module;
}

double seconds_for(int64_t nodes, bool work) {
  const auto module = chain(nodes, work);
  PassContext context{module};
  double best = 1e9;
  for (int times = 0; times < (nodes > 500'000 ? 1 : 3); ++times) {
    const auto start = std::chrono::steady_clock::now();
    const auto graph = run_passes(module->function("main"), Stage::forward, context);
    run_passes(*graph, Stage::expanded, context);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void measure(bool work) {
  const double few = seconds_for(10'000, work) / 1e4, many = seconds_for(1'000'000, work) / 1e6;
  std::printf("%s: %.2f us a node of 10,000, %.2f us a node of 1,000,000\n",
              work ? "with work" : "without work", few * 1e6, many * 1e6);
  EXPECT_LT(many, 4 * few + 1e-6);  // caches end somewhere in between; a quadratic scan would be 100 times
  EXPECT_LT(many, 60e-6);
}

void* on_small_stack(void*) {
  measure(false);
  measure(true);
  return nullptr;
}

TEST(PassesLinear, TakeTimeInProportionOnASmallStack) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, on_small_stack, nullptr), 0);
  pthread_join(thread, nullptr);
}

}  // namespace
}  // namespace fovea::test
