// ONNX models, written byte by byte, become graphs that compute what ONNX says. Expected values are worked
// out by hand.
#include <gtest/gtest.h>
#include <unistd.h>

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

class OnnxImport : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("fovea_onnx_" + std::to_string(getpid()));
    fs::create_directories(folder_ / "models");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = (folder_ / "models" / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::shared_ptr<Module> read(const Message& model, const OnnxOptions& options = {}) const {
    return import_onnx(write("model.onnx", model.bytes()), options);
  }
  Error error_of(const Message& model) const { return error_of(write("bad.onnx", model.bytes())); }
  static Error error_of(const std::string& path) {
    try {
      import_onnx(path);
    } catch (const Error& e) {
      return e;
    }
    return Error(ErrorKind::Cancelled, "nothing was thrown");
  }
  static std::vector<float> run(const std::shared_ptr<Module>& module, const std::vector<Array>& in) {
    return Program(module, "main").run(in)[0].to_vector<float>();
  }

  fs::path folder_;
};

Array vector(const std::vector<float>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())});
}

int count(const Graph& graph, const std::string& op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += node.op->name() == op;
  return n;
}

// y = x W + b, with a name and without one.
Message affine() {
  return model(graph({node("MatMul", {"x", "w"}, {"p"}, {}, "first/product"), node("Add", {"p", "b"}, {"y"})},
                     {floats("w", {2, 3}, {1, 2, 3, 4, 5, 6}), floats("b", {3}, {10, 20, 30})},
                     {value("x", kFloat, {"batch", "2"})}, {value("y", kFloat, {"batch", "3"})}));
}

TEST_F(OnnxImport, ComputesWithInitialisersAndKeepsNames) {
  const auto module = read(affine());
  const Graph& main = module->function("main");
  ASSERT_EQ(main.inputs.size(), 1u);
  EXPECT_EQ(main.input_name(0), "x");
  EXPECT_EQ(main.output_names, std::vector<std::string>{"y"});
  EXPECT_EQ(to_string(main.type(main.outputs[0])), "f32[batch, 3]");
  EXPECT_EQ(run(module, {Array::of<float>({1, 0, 0, 1, 1, 1}, {3, 2})}),
            (std::vector<float>{11, 22, 33, 14, 25, 36, 15, 27, 39}));
}

TEST_F(OnnxImport, NodesCarryTheirOnnxNamesAndPlaces) {
  const auto module = read(affine());
  const Graph& main = module->function("main");
  for (const Node& node : main.nodes) {
    if (node.op->name() == "matmul") {
      EXPECT_EQ(module->scopes[node.scope], "first/product");
      EXPECT_EQ(node.source.line, 1);
      EXPECT_TRUE(std::string(node.source.file).ends_with("model.onnx")) << node.source.file;
    }
    if (node.op->name() == "add") {
      EXPECT_EQ(module->scopes[node.scope], "#2");
      EXPECT_EQ(node.source.line, 2);
    }
  }
}

TEST_F(OnnxImport, OpenSizesBecomeSymbols) {
  const auto module =
      read(model(graph({node("Neg", {"x"}, {"y"})}, {}, {value("x", kFloat, {"?", "past seq", "L * 2", "4"})},
                       {value("y", kFloat, {})})));
  const Graph& main = module->function("main");
  EXPECT_EQ(to_string(main.type(main.outputs[0])), "f32[x.0, past_seq, 2*L, 4]");
}

TEST_F(OnnxImport, GivenShapesReplaceThoseOfTheFile) {
  OnnxOptions options;
  options.shapes["x"] = {5, 2};
  const auto module = read(affine(), options);
  const Graph& main = module->function("main");
  EXPECT_EQ(to_string(main.type(main.outputs[0])), "f32[5, 3]");
  options.shapes["z"] = {1};
  EXPECT_THROW(read(affine(), options), Error);
}

TEST_F(OnnxImport, ShapeArithmeticStaysSymbolic) {
  // Reshape(x, Concat(Slice(Shape(x), 0, 1), [-1], [Gather(Shape(x), 2) / 2]))
  const auto module = read(
      model(graph({node("Shape", {"x"}, {"s"}), node("Slice", {"s", "zero", "one"}, {"front"}),
                   node("Gather", {"s", "two"}, {"last"}), node("Div", {"last", "two"}, {"half"}),
                   node("Concat", {"front", "open", "half"}, {"shape"}, {int_attribute("axis", 0)}),
                   node("Reshape", {"x", "shape"}, {"y"})},
                  {integers("zero", {0}), integers("one", {1}), integers("two", {2}), integers("open", {-1})},
                  {value("x", kFloat, {"B", "L", "8"})}, {value("y", kFloat, {})})));
  const Graph& main = module->function("main");
  EXPECT_EQ(to_string(main.type(main.outputs[0])), "f32[B, 2*L, 4]");
  EXPECT_EQ(count(main, "extent"), 0);
  EXPECT_EQ(count(main, "reshape"), 1);
}

TEST_F(OnnxImport, IntegersAtTheEndsOfTheirRangeAreCompared) {
  // min(3, INT64_MIN): what becomes of -inf that is cast to an integer.
  const auto module = read(
      model(graph({node("Min", {"low", "three"}, {"m"}),
                   node("Cast", {"m"}, {"f"}, {int_attribute("to", kFloat)}), node("Mul", {"x", "f"}, {"y"})},
                  {integers("low", {INT64_MIN, 7}), integers("three", {3, 3})}, {value("x", kFloat, {"2"})},
                  {value("y", kFloat, {})})));
  EXPECT_EQ(run(module, {vector({1, 1})}), (std::vector<float>{-0x1p63f, 3}));
}

TEST_F(OnnxImport, SequencesAreListsWhileTheModelIsRead) {
  // stack([x[2:3], x[0:2][0]])
  const auto module = read(model(graph(
      {node("SplitToSequence", {"x", "sizes"}, {"s"}, {int_attribute("axis", 0)}),
       node("SequenceAt", {"s", "last"}, {"a"}), node("SequenceAt", {"s", "first"}, {"b"}),
       node("Gather", {"b", "rows"}, {"c"}), node("SequenceConstruct", {"a", "c"}, {"t"}),
       node("ConcatFromSequence", {"t"}, {"y"}, {int_attribute("axis", 0)})},
      {integers("sizes", {2, 1}), integers("last", {-1}), integers("first", {0}), integers("rows", {0})},
      {value("x", kFloat, {"3"})}, {value("y", kFloat, {})})));
  EXPECT_EQ(run(module, {vector({1, 2, 3})}), (std::vector<float>{3, 1}));
  const Error e = error_of(model(graph({node("SequenceConstruct", {"x"}, {"s"}), node("Neg", {"s"}, {"y"})},
                                       {}, {value("x", kFloat, {"3"})}, {value("y", kFloat, {})})));
  EXPECT_NE(e.message().find("a sequence of tensors stands where a tensor is needed"), std::string::npos)
      << e.message();
}

TEST_F(OnnxImport, TypedDataAndHalvesAreRead) {
  Message packed;  // f32 in float_data, once packed and once not
  std::string bytes;
  for (float v : {1.5f, -2.0f}) bytes.append(reinterpret_cast<const char*>(&v), 4);
  packed.number(1, 3).number(2, kFloat).text(8, "a").text(4, bytes).real(4, 4.0f);
  Message half;  // f16 in int32_data: 1, -2, 0.5
  half.number(1, 3).number(2, 10).text(8, "h").number(5, 0x3C00).number(5, 0xC000).number(5, 0x3800);
  Message negative;
  negative.number(1, 3).number(2, kInt64).text(8, "n").number(7, -1).number(7, 0).number(7, 2);
  const auto module = read(
      model(graph({node("Cast", {"h"}, {"hf"}, {int_attribute("to", kFloat)}),
                   node("Cast", {"n"}, {"nf"}, {int_attribute("to", kFloat)}), node("Add", {"x", "a"}, {"p"}),
                   node("Add", {"p", "hf"}, {"q"}), node("Add", {"q", "nf"}, {"y"})},
                  {packed, half, negative}, {value("x", kFloat, {"3"})}, {value("y", kFloat, {"3"})})));
  EXPECT_EQ(run(module, {vector({0, 0, 100})}), (std::vector<float>{1.5, -4, 106.5}));
}

TEST_F(OnnxImport, UnknownOpsAreListedTogether) {
  const Error e = error_of(model(graph(
      {node("Frobnicate", {"x"}, {"a"}, {}, "one"), node("Neg", {"a"}, {"b"}),
       node("Frobnicate", {"b"}, {"c"}, {}, "two"), node("Relu", {"c"}, {"y"}, {}, "mine", "com.example")},
      {}, {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})})));
  EXPECT_EQ(e.kind(), ErrorKind::Unsupported);
  EXPECT_NE(e.message().find("2 ops of the model cannot be converted"), std::string::npos) << e.message();
  EXPECT_NE(e.message().find("Frobnicate (2 nodes: 'one', 'two')"), std::string::npos) << e.message();
  EXPECT_NE(e.message().find("com.example.Relu (1 node: 'mine')"), std::string::npos) << e.message();
}

// f(x) = (x * scale) with the attribute of the call; g(x) = f(f(x)).
std::vector<Message> functions() {
  Message f;
  f.text(1, "f").text(4, "a").text(5, "r").text(6, "scale");
  f.add(7, node("Constant", {}, {"s"}, {reference_attribute("value_float", "scale", 1)}));
  f.add(7, node("Mul", {"a", "s"}, {"r"})).add(9, opset("", 18)).text(10, "mine");
  Message g;
  g.text(1, "g").text(4, "a").text(5, "r");
  g.add(7, node("f", {"a"}, {"b"}, {float_attribute("scale", 3)}, "", "mine"));
  g.add(7, node("f", {"b"}, {"r"}, {float_attribute("scale", -1)}, "", "mine"));
  g.add(9, opset("", 18)).text(10, "mine");
  return {f, g};
}

TEST_F(OnnxImport, FunctionsAreInlined) {
  const auto module = read(model(graph({node("g", {"x"}, {"y"}, {}, "call", "mine")}, {},
                                       {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})}),
                                 18, functions()));
  EXPECT_EQ(module->functions.size(), 1u);
  EXPECT_EQ(run(module, {vector({1, 2})}), (std::vector<float>{-3, -6}));
}

TEST_F(OnnxImport, EndlessFunctionsAreRefused) {
  Message f;  // calls itself, twice: without a bound this takes 2^depth nodes
  f.text(1, "f").text(4, "a").text(5, "r").add(7, node("f", {"a"}, {"b"}, {}, "", "mine"));
  f.add(7, node("f", {"b"}, {"r"}, {}, "", "mine")).text(10, "mine");
  const Error e = error_of(model(graph({node("f", {"x"}, {"y"}, {}, "", "mine")}, {},
                                       {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})}),
                                 18, {f}));
  EXPECT_NE(e.message().find("deep"), std::string::npos) << e.message();
}

Message branches(const std::string& condition, const std::vector<Message>& initializers,
                 const std::vector<Message>& inputs) {
  const Message then_branch = graph({node("Add", {"x", "x"}, {"t"})}, {}, {}, {value("t", kFloat, {"2"})});
  const Message else_branch =
      graph({node("Mul", {"x", "k"}, {"e"})}, {floats("k", {1}, {10})}, {}, {value("e", kFloat, {"2"})});
  return model(
      graph({node("If", {condition}, {"y"},
                  {graph_attribute("then_branch", then_branch), graph_attribute("else_branch", else_branch)},
                  "choose")},
            initializers, inputs, {value("y", kFloat, {"2"})}));
}

TEST_F(OnnxImport, KnownConditionsTakeTheirBranch) {
  const Message no = raw_tensor<uint8_t>("no", 9, {}, {0});
  const auto module = read(branches("no", {no}, {value("x", kFloat, {"2"})}));
  EXPECT_EQ(count(module->function("main"), "cond"), 0);
  EXPECT_EQ(run(module, {vector({1, 2})}), (std::vector<float>{10, 20}));
}

TEST_F(OnnxImport, OtherConditionsAreChosenWhenTheModelRuns) {
  const auto module = read(branches("c", {}, {value("x", kFloat, {"2"}), value("c", 9, {})}));
  EXPECT_EQ(run(module, {vector({1, 2}), Array::scalar(true)}), (std::vector<float>{2, 4}));
  EXPECT_EQ(run(module, {vector({1, 2}), Array::scalar(false)}), (std::vector<float>{10, 20}));
}

Message external(const std::string& location, int64_t offset, int64_t elements) {
  Message m;
  m.number(1, elements).number(2, kFloat).text(8, "w").number(14, 1);
  m.add(13, Message().text(1, "location").text(2, location));
  m.add(13, Message().text(1, "offset").text(2, std::to_string(offset)));
  return model(
      graph({node("Add", {"x", "w"}, {"y"})}, {m}, {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})}));
}

TEST_F(OnnxImport, ExternalDataLiesBeneathTheModel) {
  const std::vector<float> data{7, 8, 9};
  write("weights.bin", {reinterpret_cast<const char*>(data.data()), 12});
  fs::copy(folder_ / "models" / "weights.bin", folder_ / "outside.bin");
  fs::create_symlink(folder_ / "outside.bin", folder_ / "models" / "link.bin");
  EXPECT_EQ(run(read(external("weights.bin", 4, 2)), {vector({1, 1})}), (std::vector<float>{9, 10}));
  EXPECT_EQ(error_of(external("weights.bin", 8, 2)).kind(), ErrorKind::Corrupt);  // past its end
  EXPECT_EQ(error_of(external("../outside.bin", 0, 2)).kind(), ErrorKind::InvalidArgument);
  EXPECT_EQ(error_of(external((folder_ / "outside.bin").string(), 0, 2)).kind(), ErrorKind::InvalidArgument);
  EXPECT_EQ(error_of(external("link.bin", 0, 2)).kind(), ErrorKind::IO);
}

TEST_F(OnnxImport, WeightsCanBeInputs) {
  std::vector<std::pair<std::string, Array>> weights;
  OnnxOptions options;
  options.weights = &weights;
  const auto module = read(affine(), options);
  ASSERT_EQ(weights.size(), 2u);
  EXPECT_EQ(weights[0].first, "param/w");
  EXPECT_EQ(module->constants.size(), 0u);
  EXPECT_EQ(run(module, {Array::of<float>({1, 1}, {1, 2}), weights[0].second, Array::zeros(DType::f32, {3})}),
            (std::vector<float>{5, 7, 9}));
}

TEST_F(OnnxImport, ValuesThatDecideShapesCanBeGiven) {
  const Message m =
      model(graph({node("Reshape", {"x", "shape"}, {"y"}, {}, "turn")}, {},
                  {value("x", kFloat, {"6"}), value("shape", kInt64, {"2"})}, {value("y", kFloat, {})}));
  const Error e = error_of(m);
  EXPECT_EQ(e.kind(), ErrorKind::Unsupported);
  EXPECT_NE(e.message().find("node 'turn' (Reshape)"), std::string::npos) << e.message();
  EXPECT_NE(e.message().find("'shape'"), std::string::npos) << e.message();
  OnnxOptions options;
  options.values["shape"] = Array::of<int64_t>({2, 3}, {2});
  const auto module = read(m, options);
  const Graph& main = module->function("main");
  EXPECT_EQ(main.inputs.size(), 2u);
  EXPECT_EQ(to_string(main.type(main.outputs[0])), "f32[2, 3]");
}

TEST_F(OnnxImport, BrokenGraphsAreNamed) {
  const auto broken = [&](const std::vector<Message>& nodes) {
    return error_of(model(graph(nodes, {}, {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})})));
  };
  EXPECT_NE(
      broken({node("Neg", {"z"}, {"y"}, {}, "n")}).message().find("no node before it makes its input 'z'"),
      std::string::npos);
  EXPECT_NE(broken({node("Neg", {"x"}, {"a"})}).message().find("no node makes output 'y'"),
            std::string::npos);
  EXPECT_NE(broken({node("Neg", {}, {"y"}, {}, "n")}).message().find("it has no input 0"), std::string::npos);
  EXPECT_NE(broken({node("Softmax", {"x"}, {"y"}, {float_attribute("axis", 1)}, "n")})
                .message()
                .find("attribute 'axis'"),
            std::string::npos);
  EXPECT_NE(broken({node("Neg", {"x"}, {"y"}), node("Neg", {"x"}, {"y"})})
                .message()
                .find("two nodes make the value 'y'"),
            std::string::npos);
}

TEST_F(OnnxImport, SizesAreHeldAgainstTheBytesThatAreThere) {
  const auto with = [&](const Message& tensor) {
    return error_of(model(graph({node("Add", {"x", "w"}, {"y"})}, {tensor}, {value("x", kFloat, {"2"})},
                                {value("y", kFloat, {"2"})})));
  };
  EXPECT_EQ(with(floats("w", {1000000000, 1000}, {1, 2})).kind(), ErrorKind::Corrupt);
  EXPECT_EQ(with(floats("w", {INT64_MAX, 4}, {1, 2})).kind(), ErrorKind::InvalidArgument);  // overflows
  EXPECT_EQ(with(floats("w", {-2}, {1, 2})).kind(), ErrorKind::Corrupt);
  EXPECT_EQ(with(floats("w", {3}, {1, 2})).kind(), ErrorKind::Corrupt);
  EXPECT_EQ(with(raw_tensor<float>("w", 8, {2}, {1, 2})).kind(), ErrorKind::Unsupported);  // strings
}

TEST_F(OnnxImport, MessagesAreBounded) {
  Message deep = graph({}, {}, {}, {});  // subgraphs in subgraphs
  for (int i = 0; i < 40; ++i)
    deep = graph({node("If", {"x"}, {"y"}, {graph_attribute("then_branch", deep)})}, {}, {}, {});
  EXPECT_EQ(error_of(model(deep)).kind(), ErrorKind::Corrupt);
  // Four million empty nodes: 8 MB that would take a gigabyte when they are parsed.
  std::string nodes;
  for (int i = 0; i < 4'000'000; ++i) nodes += std::string("\x0a\x00", 2);
  EXPECT_EQ(error_of(write("many.onnx", Message().text(7, nodes).bytes())).kind(),
            ErrorKind::ResourceExhausted);
  EXPECT_EQ(error_of(write("empty.onnx", "")).kind(), ErrorKind::Corrupt);
  EXPECT_EQ(error_of((folder_ / "none.onnx").string()).kind(), ErrorKind::IO);
}

// Whatever the bytes, the answer is a module or a typed error.
TEST_F(OnnxImport, DamagedFilesEndInTypedErrors) {
  std::vector<std::string> seeds{affine().bytes(), external("w", 0, 2).bytes(),
                                 branches("c", {}, {value("x", kFloat, {"2"}), value("c", 9, {})}).bytes(),
                                 model(graph({node("g", {"x"}, {"y"}, {}, "call", "mine")}, {},
                                             {value("x", kFloat, {"2"})}, {value("y", kFloat, {"2"})}),
                                       18, functions())
                                     .bytes()};
  uint64_t random = 1;
  const auto next = [&random](uint64_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % n;
  };
  int read = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = seeds[next(seeds.size())];
    if (i % 3 == 0) bytes.resize(next(bytes.size()));
    for (uint64_t flips = next(4); flips-- > 0 && !bytes.empty();)
      bytes[next(bytes.size())] = static_cast<char>(next(256));
    const Error e = error_of(write("damaged.onnx", bytes));
    read += e.kind() == ErrorKind::Cancelled;
  }
  EXPECT_GT(read, 10);
  EXPECT_LT(read, 900);
}

}  // namespace
}  // namespace fovea
