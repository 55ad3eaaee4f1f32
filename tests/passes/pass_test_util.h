// Helpers for tests of passes: graphs as text, one pass, special values.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

#include "graph/ir/op.h"
#include "graph/text/text.h"
#include "optim/lower/program.h"
#include "optim/rewrite/pass.h"

namespace fovea::test {

/// The pass of that name and stage.
inline const Pass& pass_named(const std::string& name, Stage stage) {
  for (const Pass& p : all_passes())
    if (p.name == name && p.stage == stage) return p;
  throw std::runtime_error("no pass " + name);
}

/// `module` with its function `main` put through one pass; the same module where it changed nothing.
inline std::shared_ptr<Module> after_pass(const std::shared_ptr<Module>& module, const std::string& pass,
                                          Stage stage = Stage::expanded) {
  auto copy = std::make_shared<Module>(*module);
  PassContext context{copy, "reference"};
  context.stage = stage;
  auto graph = pass_named(pass, stage).run(copy->function("main"), context);
  if (!graph) return copy;
  verify(*copy, *graph);
  copy->functions["main"] = graph;
  return copy;
}

/// How often ops occur in main, inputs apart: "add mul*2".
inline std::string ops_of(const Module& module) {
  std::map<std::string, int> count;
  for (const Node& n : module.function("main").nodes)
    if (n.op->name() != "input") ++count[n.op->name()];
  std::string out;
  for (const auto& [op, times] : count)
    out += (out.empty() ? "" : " ") + op + (times > 1 ? "*" + std::to_string(times) : "");
  return out;
}

/// Numbers at which rules go wrong: NaN, infinities, zeros of both signs, subnormal, huge, odd and even.
inline Array special_values(const TensorType& type, size_t shift) {
  static const std::vector<double> numbers = {
      0.0,  -0.0,  1,       -1,    std::nan(""), INFINITY, -INFINITY, 2.5, -3,    1e-40, -1.4e-45,
      3e38, -3e38, 6.1e-05, 6e-08, 65504,        127,      -128,      0.1, 1e300, 7,     5e-324};
  Array a(DType::f64, evaluate(type.shape, {{"B", 3}, {"L", 5}}));
  for (int64_t i = 0; i < a.size(); ++i)
    a.set_flat(i, numbers[(static_cast<size_t>(i) + shift) % numbers.size()]);
  return a.cast(type.dtype);
}

/// Runs main as it stands on the reference backend.
inline std::vector<Array> run_untouched(const std::shared_ptr<Module>& module, const std::vector<Array>& in) {
  CompileOptions options;
  options.backend = "reference";
  options.optimise = false;
  return Program(module, "main", options).run(in);
}

inline std::vector<Array> special_inputs(const Module& module, size_t shift) {
  std::vector<Array> in;
  const Graph& graph = module.function("main");
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    in.push_back(special_values(graph.nodes[graph.inputs[i]].outputs[0], shift + 7 * i));
  return in;
}

/// Empty, or what differs: bits count, but any NaN equals any other.
inline std::string bits_differ(const std::vector<Array>& a, const std::vector<Array>& b) {
  if (a.size() != b.size()) return "another number of results";
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].dtype() != b[i].dtype() || a[i].shape() != b[i].shape()) return "another type";
    const Array x = a[i].contiguous(), y = b[i].contiguous();
    for (int64_t k = 0; k < x.size(); ++k) {
      const double p = x.get_flat(k), q = y.get_flat(k);
      if (std::isnan(p) && std::isnan(q)) continue;
      if (p != q || std::signbit(p) != std::signbit(q))
        return "result " + std::to_string(i) + ", element " + std::to_string(k) + ": " + std::to_string(p) +
               " became " + std::to_string(q);
    }
  }
  return "";
}

/// The module gives the same bits as `other` on special values, in all their combinations of places.
inline void expect_same_bits(const std::shared_ptr<Module>& module, const std::shared_ptr<Module>& other) {
  for (size_t shift = 0; shift < 22; ++shift) {
    const auto in = special_inputs(*module, shift);
    ASSERT_EQ(bits_differ(run_untouched(module, in), run_untouched(other, in)), "") << print(*other);
  }
}

/// What the pass says of the candidates in `main` of the text.
inline std::vector<FusionRecord> records_of(PassFn pass, const std::string& text) {
  std::vector<FusionRecord> records;
  const auto module = parse(text);
  PassContext context{module, "cpu", &records};
  pass(module->function("main"), context);
  return records;
}

/// The only record.
inline FusionRecord record_of(PassFn pass, const std::string& text) {
  const std::vector<FusionRecord> records = records_of(pass, text);
  EXPECT_EQ(records.size(), 1u);
  return records.empty() ? FusionRecord{} : records[0];
}

/// Every result is within `relative` of the largest number of its tensor.
inline void expect_close(const std::vector<Array>& got, const std::vector<Array>& want, double relative) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    double largest = 0, off = 0;
    for (int64_t k = 0; k < want[i].size(); ++k) {
      largest = std::max(largest, std::abs(want[i].get_flat(k)));
      off = std::max(off, std::abs(got[i].get_flat(k) - want[i].get_flat(k)));
    }
    EXPECT_LE(off, largest * relative) << to_string(got[i].dtype()) << ", result " << i;
  }
}

}  // namespace fovea::test
