// ONNX graphs of several nodes that only make sense together: loops, positions that are computed, values that
// the converter has to know. Expected values are worked out by hand or by plain loops.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "frontends/import/onnx.h"
#include "graph/ir/op.h"
#include "optim/lower/program.h"
#include "tests/support/onnx_writer.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using namespace test;  // NOLINT: the writer's vocabulary

class OnnxGraphs : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::path(testing::TempDir()) / ("fovea_onnx_graphs_" + std::to_string(getpid()) + ".onnx");
  }
  void TearDown() override { fs::remove(path_); }

  std::shared_ptr<Module> read(const Message& graph, int64_t version = 18) const {
    std::ofstream(path_, std::ios::binary) << model(graph, version).bytes();
    return import_onnx(path_.string());
  }
  std::string refusal_of(const Message& graph) const {
    try {
      read(graph);
    } catch (const Error& e) {
      return e.message();
    }
    return "nothing was thrown";
  }
  static std::vector<std::vector<float>> run(const std::shared_ptr<Module>& module,
                                             const std::vector<Array>& in) {
    std::vector<std::vector<float>> out;
    for (const Array& a : Program(module, "main").run(in)) out.push_back(a.to_vector<float>());
    return out;
  }
  static int count(const Module& module, const std::string& op) {
    int n = 0;
    for (const Node& node : module.function("main").nodes) n += node.op->name() == op;
    return n;
  }

  fs::path path_;
};

Array vector(const std::vector<float>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())});
}
Message scalar(std::string_view name, int64_t value) {
  return raw_tensor<int64_t>(name, kInt64, {}, {value});
}
Message truth(std::string_view name, bool value) {
  return raw_tensor<uint8_t>(name, 9, {}, {static_cast<uint8_t>(value)});
}

// a <- a * x + i, with every a stacked; `condition` is what the body says about going on.
Message horner(const std::vector<Message>& condition) {
  std::vector<Message> nodes = condition;
  nodes.push_back(node("Cast", {"i"}, {"f"}, {int_attribute("to", kFloat)}));
  nodes.push_back(node("Mul", {"a", "x"}, {"m"}));
  nodes.push_back(node("Add", {"m", "f"}, {"n"}));
  nodes.push_back(node("Identity", {"n"}, {"row"}));
  return graph_attribute(
      "body", graph(nodes, {}, {value("i", kInt64, {}), value("c", 9, {}), value("a", kFloat, {"2"})},
                    {value("on", 9, {}), value("n", kFloat, {"2"}), value("row", kFloat, {"2"})}));
}

TEST_F(OnnxGraphs, LoopsOfAKnownLengthAreWrittenOut) {
  const auto module = read(graph(
      {node("Loop", {"rounds", "", "start"}, {"y", "rows"}, {horner({node("Identity", {"c"}, {"on"})})})},
      {scalar("rounds", 3), floats("start", {2}, {1, 1})}, {value("x", kFloat, {"2"})},
      {value("y", kFloat, {"2"}), value("rows", kFloat, {"3", "2"})}));
  EXPECT_EQ(count(*module, "scan") + count(*module, "while_loop"), 0);
  const auto got = run(module, {vector({2, 3})});
  // 1 -> 2, 3 -> 5, 10 -> 12, 32
  EXPECT_EQ(got[0], (std::vector<float>{12, 32}));
  EXPECT_EQ(got[1], (std::vector<float>{2, 3, 5, 10, 12, 32}));
}

TEST_F(OnnxGraphs, LoopsEndWhereTheirConditionIsKnownToFail) {
  // Goes on while i < 1: two rounds of at most five.
  const auto module = read(
      graph({node("Loop", {"rounds", "yes", "start"}, {"y", "rows"},
                  {horner({node("Less", {"i", "one"}, {"on"})})})},
            {scalar("rounds", 5), truth("yes", true), scalar("one", 1), floats("start", {2}, {1, 1})},
            {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"}), value("rows", kFloat, {"2", "2"})}));
  const auto got = run(module, {vector({2, 3})});
  EXPECT_EQ(got[0], (std::vector<float>{5, 10}));
  EXPECT_EQ(got[1], (std::vector<float>{2, 3, 5, 10}));
}

TEST_F(OnnxGraphs, LoopsOfOpenLengthScan) {
  // As many rounds as x has elements: rows of i times x[0], summed up.
  const Message body = graph(
      {node("Identity", {"c"}, {"on"}), node("Cast", {"i"}, {"f"}, {int_attribute("to", kFloat)}),
       node("Gather", {"x", "i"}, {"e"}), node("Mul", {"f", "e"}, {"row"}), node("Add", {"a", "row"}, {"n"})},
      {}, {value("i", kInt64, {}), value("c", 9, {}), value("a", kFloat, {})},
      {value("on", 9, {}), value("n", kFloat, {}), value("row", kFloat, {})});
  const auto module =
      read(graph({node("Shape", {"x"}, {"sizes"}), node("Squeeze", {"sizes"}, {"rounds"}),
                  node("Loop", {"rounds", "", "zero"}, {"y", "rows"}, {graph_attribute("body", body)})},
                 {raw_tensor<float>("zero", kFloat, {}, {0})}, {value("x", kFloat, {"L"})},
                 {value("y", kFloat, {}), value("rows", kFloat, {"L"})}));
  EXPECT_EQ(count(*module, "scan"), 1);
  for (const int64_t n : {1, 4}) {
    std::vector<float> x, rows;
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      x.push_back(static_cast<float>(3 - i));
      rows.push_back(static_cast<float>(i * (3 - i)));
      sum += rows.back();
    }
    const auto got = run(module, {vector(x)});
    EXPECT_EQ(got[0], std::vector<float>{sum});
    EXPECT_EQ(got[1], rows);
  }
}

TEST_F(OnnxGraphs, LoopsUntilAComputedConditionRepeat) {
  // Doubles x while its first element is below a bound.
  const Message body =
      graph({node("Add", {"a", "a"}, {"n"}), node("ReduceMax", {"n"}, {"m"}, {int_attribute("keepdims", 0)}),
             node("Less", {"m", "bound"}, {"on"})},
            {}, {value("i", kInt64, {}), value("c", 9, {}), value("a", kFloat, {"2"})},
            {value("on", 9, {}), value("n", kFloat, {"2"})});
  const auto whole = [&](const std::string& most, int64_t rounds) {
    return graph(
        {node("Loop", {most, "yes", "x"}, {"y"}, {graph_attribute("body", body)})},
        {scalar("rounds", rounds), truth("yes", true), raw_tensor<float>("bound", kFloat, {}, {100})},
        {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})});
  };
  EXPECT_EQ(run(read(whole("", 0)), {vector({1, 3})})[0], (std::vector<float>{64, 192}));
  EXPECT_EQ(run(read(whole("rounds", 2)), {vector({1, 3})})[0], (std::vector<float>{4, 12}));
  EXPECT_EQ(run(read(whole("rounds", 0)), {vector({1, 3})})[0], (std::vector<float>{1, 3}));
}

TEST_F(OnnxGraphs, LoopsGrowSequences) {
  const Message body = graph({node("Identity", {"c"}, {"on"}), node("Gather", {"x", "i"}, {"e"}),
                              node("Mul", {"e", "e"}, {"q"}), node("SequenceInsert", {"s", "q"}, {"t"})},
                             {}, {value("i", kInt64, {}), value("c", 9, {}), value("s", kFloat, {})},
                             {value("on", 9, {}), value("t", kFloat, {})});
  const auto module = read(graph(
      {node("SequenceEmpty", {}, {"none"}),
       node("Loop", {"rounds", "", "none"}, {"s"}, {graph_attribute("body", body)}),
       node("SequenceErase", {"s", "first"}, {"r"}),
       node("ConcatFromSequence", {"r"}, {"y"}, {int_attribute("axis", 0), int_attribute("new_axis", 1)})},
      {scalar("rounds", 3), scalar("first", 0)}, {value("x", kFloat, {"3"})}, {value("y", kFloat, {"2"})}));
  EXPECT_EQ(run(module, {vector({2, 3, 4})})[0], (std::vector<float>{9, 16}));
}

TEST_F(OnnxGraphs, ScansGoAlongAnyAxisBothWays) {
  // s <- s + x[:, t] from the last column back, every s a column of the result, again turned round.
  const Message body = graph({node("Add", {"s", "c"}, {"n"}), node("Identity", {"n"}, {"row"})}, {},
                             {value("s", kFloat, {"2"}), value("c", kFloat, {"2"})},
                             {value("n", kFloat, {"2"}), value("row", kFloat, {"2"})});
  const auto whole = [&](const std::string& length) {
    return graph(
        {node("Scan", {"zero", "x"}, {"y", "sums"},
              {graph_attribute("body", body), int_attribute("num_scan_inputs", 1),
               ints_attribute("scan_input_axes", {1}), ints_attribute("scan_input_directions", {1}),
               ints_attribute("scan_output_axes", {-1}), ints_attribute("scan_output_directions", {1})})},
        {floats("zero", {2}, {0, 0})}, {value("x", kFloat, {"2", length})},
        {value("y", kFloat, {"2"}), value("sums", kFloat, {"2", length})});
  };
  for (const std::string length : {"3", "L"}) {
    const auto module = read(whole(length));
    EXPECT_EQ(count(*module, "scan"), length == "L");
    const auto got = run(module, {Array::of<float>({1, 2, 3, 10, 20, 30}, {2, 3})});
    EXPECT_EQ(got[0], (std::vector<float>{6, 60}));
    EXPECT_EQ(got[1], (std::vector<float>{6, 5, 3, 60, 50, 30}));
  }
}

TEST_F(OnnxGraphs, LoopsWhoseResultsHaveOpenSizesAreRefused) {
  const Message body = graph({node("Less", {"a", "bound"}, {"on"}), node("Add", {"a", "a"}, {"n"}),
                              node("Identity", {"n"}, {"row"})},
                             {}, {value("i", kInt64, {}), value("c", 9, {}), value("a", kFloat, {})},
                             {value("on", 9, {}), value("n", kFloat, {}), value("row", kFloat, {})});
  const std::string said =
      refusal_of(graph({node("Loop", {"rounds", "", "x"}, {"y", "rows"}, {graph_attribute("body", body)})},
                       {scalar("rounds", 4), raw_tensor<float>("bound", kFloat, {}, {100})},
                       {value("x", kFloat, {})}, {value("y", kFloat, {}), value("rows", kFloat, {"?"})}));
  EXPECT_NE(said.find("when it ends depends on what the model computes"), std::string::npos) << said;
}

// x[..., 1:, 1:] = b, as index grids that are expanded and joined when the model runs.
Message box_written(const std::string& rows, const std::string& columns, int64_t most) {
  std::vector<int64_t> counted;
  for (int64_t i = 1; i < most; ++i) counted.push_back(i);
  const auto n = static_cast<int64_t>(counted.size());
  return graph(
      {node("Expand", {"is", "box"}, {"i"}), node("Expand", {"js", "box"}, {"j"}),
       node("Unsqueeze", {"i", "last"}, {"iu"}), node("Unsqueeze", {"j", "last"}, {"ju"}),
       node("Concat", {"iu", "ju"}, {"at"}, {int_attribute("axis", -1)}),
       node("ScatterND", {"x", "at", "b"}, {"y"})},
      {raw_tensor("is", kInt64, {n, 1}, counted), raw_tensor("js", kInt64, {n}, counted),
       integers("box", {n, n}), integers("last", {-1})},
      {value("x", kFloat, {rows, columns}), value("b", kFloat, {std::to_string(n), std::to_string(n)})},
      {value("y", kFloat, {rows, columns})});
}

TEST_F(OnnxGraphs, GridsOfPositionsAreAChoice) {
  constexpr int64_t kSize = 40;  // its grid is too large to be computed while the model is read
  const auto module = read(box_written("40", "40", kSize));
  EXPECT_EQ(count(*module, "scatter_add"), 0);
  EXPECT_EQ(count(*module, "where"), 1);
  Array x(DType::f32, {kSize, kSize}), b(DType::f32, {kSize - 1, kSize - 1});
  for (int64_t i = 0; i < x.size(); ++i) x.set_flat(i, static_cast<double>(i));
  for (int64_t i = 0; i < b.size(); ++i) b.set_flat(i, static_cast<double>(-1 - i));
  const auto y = run(module, {x, b})[0];
  for (int64_t i = 0; i < kSize; ++i)
    for (int64_t j = 0; j < kSize; ++j) {
      const double want = i && j ? b.get_flat((i - 1) * (kSize - 1) + j - 1) : x.get_flat(i * kSize + j);
      ASSERT_EQ(static_cast<double>(y[static_cast<size_t>(i * kSize + j)]), want) << i << ", " << j;
    }
}

// Rows counted with a step, out of order, added, repeated, and past the end.
TEST_F(OnnxGraphs, RowsThatAreAListAreGathered) {
  const auto written = [&](const std::vector<int64_t>& rows, const std::vector<Message>& attributes = {}) {
    const auto n = static_cast<int64_t>(rows.size());
    return read(graph({node("ScatterND", {"x", "at", "b"}, {"y"}, attributes)},
                      {raw_tensor("at", kInt64, {n, 1}, rows)},
                      {value("x", kFloat, {"5", "1"}), value("b", kFloat, {std::to_string(n), "1"})},
                      {value("y", kFloat, {"5", "1"})}));
  };
  const Array x = Array::of<float>({1, 2, 3, 4, 5}, {5, 1}), b = Array::of<float>({10, 20, 30}, {3, 1});
  const auto strided = written({0, 2, 4});
  EXPECT_EQ(count(*strided, "scatter_add"), 0);
  EXPECT_EQ(run(strided, {x, b})[0], (std::vector<float>{10, 2, 20, 4, 30}));
  EXPECT_EQ(run(written({-1, 0, 3}), {x, b})[0], (std::vector<float>{20, 2, 3, 30, 10}));
  const Message add = Message().text(1, "reduction").text(4, "add").number(20, 3);
  const auto added = written({4, 1, 2}, {add});
  EXPECT_EQ(count(*added, "scatter_add"), 0);
  EXPECT_EQ(run(added, {x, b})[0], (std::vector<float>{1, 22, 33, 4, 15}));
  const auto repeated = written({1, 1, 2}, {add});  // repeated rows add up: no choice
  EXPECT_EQ(count(*repeated, "scatter_add"), 1);
  EXPECT_EQ(run(repeated, {x, b})[0], (std::vector<float>{1, 32, 33, 4, 5}));
}

TEST_F(OnnxGraphs, CountedPositionsOfOpenSizes) {
  // x[1:] = b for x of any length, the rows counted as Range(1, size).
  const auto module = read(
      graph({node("Shape", {"x"}, {"sizes"}), node("Squeeze", {"sizes"}, {"size"}),
             node("Range", {"one", "size", "one"}, {"rows"}), node("Unsqueeze", {"rows", "last"}, {"at"}),
             node("Slice", {"x", "ones", "ends"}, {"tail"}), node("Neg", {"tail"}, {"b"}),
             node("ScatterND", {"x", "at", "b"}, {"y"})},
            {scalar("one", 1), integers("last", {-1}), integers("ones", {1}), integers("ends", {INT64_MAX})},
            {value("x", kFloat, {"L"})}, {value("y", kFloat, {"L"})}));
  EXPECT_EQ(count(*module, "scatter_add"), 0);
  EXPECT_EQ(run(module, {vector({1, 2, 3, 4})})[0], (std::vector<float>{1, -2, -3, -4}));
}

TEST_F(OnnxGraphs, WhatIsNeededNowIsComputedNow) {
  // NonZero of an expanded constant, and split sizes that Tile makes.
  const auto module =
      read(graph({node("Expand", {"flags", "box"}, {"wide"}), node("NonZero", {"wide"}, {"found"}),
                  node("Transpose", {"found"}, {"at"}), node("GatherND", {"x", "at"}, {"y"}),
                  node("Tile", {"each", "times"}, {"sizes"}), node("SplitToSequence", {"y", "sizes"}, {"s"}),
                  node("SequenceAt", {"s", "second"}, {"z"})},
                 {raw_tensor<uint8_t>("flags", 9, {2, 1}, {0, 1}), integers("box", {2, 2000}),
                  integers("each", {1000}), integers("times", {2}), scalar("second", 1)},
                 {value("x", kFloat, {"2", "2000"})}, {value("z", kFloat, {"1000"})}));
  std::vector<float> x;
  for (int i = 0; i < 4000; ++i) x.push_back(static_cast<float>(i));
  EXPECT_EQ(run(module, {Array::of(x, {2, 2000})})[0], std::vector<float>(x.begin() + 3000, x.end()));
}

// Spellings of x (1 + erf(x / sqrt 2)) / 2 and x sigmoid(x), and what only looks like them.
TEST_F(OnnxGraphs, ActivationsWrittenAsProductsAreFound) {
  const auto read_product = [&](std::vector<Message> nodes, float half) {
    std::vector<Message> all{node("Div", {"x", "root"}, {"d"}), node("Erf", {"d"}, {"e"}),
                             node("Add", {"e", "one"}, {"s"}), node("Sigmoid", {"x"}, {"g"})};
    all.insert(all.end(), nodes.begin(), nodes.end());
    return read(graph(
        all,
        {raw_tensor<float>("root", kFloat, {}, {1.41421356f}), raw_tensor<float>("one", kFloat, {}, {1}),
         raw_tensor<float>("half", kFloat, {}, {half}), floats("wide", {1, 1}, {half})},
        {value("x", kFloat, {"3"}), value("z", kFloat, {"3"})}, {value("y", kFloat, {"3"})}));
  };
  const std::vector<float> x{-1.5f, 0.25f, 2.0f};
  const auto check = [&](const std::shared_ptr<Module>& module, const char* op, int found, auto f) {
    EXPECT_EQ(count(*module, op), found);
    const auto y = run(module, {vector(x), vector({5, 6, 7})})[0];
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], f(static_cast<double>(x[i]), i), 1e-6);
  };
  const auto gelu = [](double v, size_t) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); };
  const std::vector<Message> last{node("Mul", {"x", "s"}, {"p"}), node("Mul", {"p", "half"}, {"y"})},
      first{node("Mul", {"half", "x"}, {"p"}), node("Mul", {"s", "p"}, {"y"})},
      share{node("Mul", {"s", "half"}, {"p"}), node("Mul", {"p", "x"}, {"y"})};
  for (const auto& nodes : {last, first, share}) check(read_product(nodes, 0.5f), "gelu", 1, gelu);
  check(read_product(first, 0.25f), "gelu", 0, [&](double v, size_t i) { return gelu(v, i) / 2; });
  check(read_product({node("Mul", {"z", "s"}, {"p"}), node("Mul", {"p", "half"}, {"y"})}, 0.5f), "gelu", 0,
        [&](double v, size_t i) { return gelu(v, i) / v * static_cast<double>(5 + i); });
  const auto silu = [](double v, size_t) { return v / (1 + std::exp(-v)); };
  check(read_product({node("Mul", {"x", "g"}, {"y"})}, 0.5f), "silu", 1, silu);
  check(read_product({node("Mul", {"g", "x"}, {"y"})}, 0.5f), "silu", 1, silu);
  check(read_product({node("Mul", {"g", "z"}, {"y"})}, 0.5f), "silu", 0,
        [&](double v, size_t i) { return silu(v, i) / v * static_cast<double>(5 + i); });
  const auto wider = read_product({node("Mul", {"x", "s"}, {"p"}), node("Mul", {"p", "wide"}, {"y"})}, 0.5f);
  EXPECT_EQ(count(*wider, "gelu"), 0);  // one more axis
}

TEST_F(OnnxGraphs, RandomNumbersAreRefusedWithAReason) {
  const std::string said =
      refusal_of(graph({node("RandomNormalLike", {"x"}, {"n"}), node("Add", {"x", "n"}, {"y"})}, {},
                       {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})}));
  EXPECT_NE(said.find("exported for inference"), std::string::npos) << said;
}

}  // namespace
}  // namespace fovea
