// Random modules, and what differs between two modules: shared by the tests of text and files.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "graph/build/builder.h"
#include "graph/ir/op.h"

namespace fovea::test {

/// Random bytes of `dtype`; bools are 0 and 1.
inline Array random_bytes(DType dtype, Dims shape, std::mt19937& random) {
  Array a(dtype, std::move(shape));
  for (int64_t i = 0; i < a.nbytes(); ++i)
    static_cast<uint8_t*>(a.raw())[i] =
        static_cast<uint8_t>(dtype == DType::boolean ? random() & 1 : random());
  return a;
}

/// Functions made of random samples of all ops, with calls, symbols, guards, scopes, source lines and
/// constants.
inline std::shared_ptr<Module> random_module(unsigned seed, int nodes = 12) {
  std::mt19937 random(seed);
  auto pick = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  static const char* const kFiles[] = {"model.cpp", "a \"b\"\\c.h", "", "\xCE\xBC.cpp"};
  auto source = [&] { return Source{kFiles[pick(4)], static_cast<int>(pick(1000))}; };
  std::vector<std::pair<const OpDecl*, const Sample*>> samples;
  for (const OpDecl* op : all_ops())
    for (const Sample& s : op->samples()) samples.emplace_back(op, &s);
  auto module = std::make_shared<Module>();
  for (int f = 0; f < 3; ++f) {
    auto builder = Builder::make(module, f == 0 ? "main" : f == 1 ? "odd name: \"f\"" : "encoder.0");
    std::vector<Tensor> values;
    for (int n = 0; n < nodes; ++n) {
      const auto& [op, sample] = samples[pick(samples.size())];
      std::vector<Tensor> args;
      for (const In& in : sample->in) {
        const TensorType type{in.type, to_shape(in.shape)};
        std::vector<Tensor> fitting;
        for (const Tensor& v : values)
          if (v.type() == type) fitting.push_back(v);
        if (!fitting.empty() && pick(2))
          args.push_back(fitting[pick(fitting.size())]);
        else if (pick(2))
          args.push_back(builder->input(pick(2) ? "x" : "", type, source()));
        else
          args.push_back(builder->constant(random_bytes(in.type, in.shape, random), source()));
        values.push_back(args.back());
      }
      const std::string part = "layer." + std::to_string(pick(3));
      NameScope scope(part);
      for (const Tensor& y : builder->add(*op, args, sample->attrs, source())) values.push_back(y);
    }
    const Dim b = Dim::symbol("B"), l = Dim::symbol("L");
    const Tensor s = builder->input("s", {DType::f32, {b, l * b + 3}}),
                 t = builder->input("t", {DType::f32, {l, 4}});
    values.push_back(builder->add(find_op("matmul"), {s, t}, {}, source())[0]);  // makes a guard
    values.push_back(builder->add(find_op("reshape"), {t}, {{"shape", Shape{l * 4}}}, source())[0]);
    if (f > 0) {
      const Graph& callee = module->function("main");
      std::vector<Tensor> args;
      for (NodeId id : callee.inputs) args.push_back(builder->input("", callee.nodes[id].outputs[0]));
      for (const Tensor& y :
           builder->add(find_op("call"), args, {{"function", FunctionRef{"main"}}}, source()))
        values.push_back(y);
    }
    for (int o = 0; o < 3; ++o)
      builder->output(o ? "out \n" + std::to_string(o) : "", values[pick(values.size())]);
    builder->output("last", values.back());
    builder->finish();
  }
  return module;
}

/// "" where the modules are the same in all that is kept, or what differs.
inline std::string difference(const Module& a, const Module& b) {
  auto same_source = [](const Source& x, const Source& y) {
    return std::string(x.file) == y.file && x.line == y.line;
  };
  if (a.constants.size() != b.constants.size()) return "number of constants";
  for (size_t i = 0; i < a.constants.size(); ++i) {
    const Array x = a.constants[i].contiguous(), y = b.constants[i].contiguous();
    if (x.dtype() != y.dtype() || x.shape() != y.shape() ||
        std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.nbytes())) != 0)
      return "constant " + std::to_string(i);
  }
  if (a.functions.size() != b.functions.size()) return "number of functions";
  for (const auto& [name, f] : a.functions) {
    if (!b.functions.count(name)) return "function " + name;
    const Graph& g = *b.functions.at(name);
    const std::string in = " of " + name;
    if (f->name != g.name) return "inner name" + in;
    if (f->inputs != g.inputs) return "inputs" + in;
    if (f->outputs != g.outputs || f->output_names != g.output_names) return "outputs" + in;
    if (f->guards.size() != g.guards.size()) return "number of guards" + in;
    for (size_t i = 0; i < g.guards.size(); ++i) {
      const Guard &x = f->guards[i], &y = g.guards[i];
      if (!(x.a == y.a) || !(x.b == y.b) || x.divides != y.divides || x.what != y.what ||
          !same_source(x.source, y.source))
        return "guard " + std::to_string(i) + in;
    }
    if (f->nodes.size() != g.nodes.size()) return "number of nodes" + in;
    for (size_t i = 0; i < g.nodes.size(); ++i) {
      const Node &x = f->nodes[i], &y = g.nodes[i];
      if (x.op != y.op || !(x.attrs == y.attrs) || x.inputs != y.inputs || x.outputs != y.outputs ||
          !same_source(x.source, y.source) ||
          a.scopes[static_cast<size_t>(x.scope)] != b.scopes[static_cast<size_t>(y.scope)])
        return "node " + std::to_string(i) + in;
    }
  }
  return "";
}

/// The error that f throws; fails the test where it throws none or one of another kind.
inline std::string error_of(ErrorKind kind, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

}  // namespace fovea::test
