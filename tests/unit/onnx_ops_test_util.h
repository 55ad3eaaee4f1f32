// What the tests of ONNX converters share: models of one node, run on arrays.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <numbers>

#include "frontends/import/onnx.h"
#include "tests/support/onnx_writer.h"
#include "tests/unit/ops_test_util.h"

namespace fovea::test {

namespace fs = std::filesystem;

inline constexpr double kInf = std::numeric_limits<double>::infinity();

inline int onnx_type(DType t) {
  static const std::map<DType, int> numbers{{DType::f32, 1},     {DType::u8, 2},   {DType::i8, 3},
                                            {DType::i16, 5},     {DType::i32, 6},  {DType::i64, 7},
                                            {DType::boolean, 9}, {DType::f16, 10}, {DType::f64, 11}};
  return numbers.at(t);
}

inline Message text_attribute(std::string_view name, std::string_view value) {
  return Message().text(1, name).text(4, value).number(20, 3);
}

// One node of an op, its operands and what is done with them.
struct OneNode {
  std::string op;
  std::vector<Array> in;  // an undefined one is left out
  std::vector<Message> attributes = {};
  int64_t version = 18;
  std::vector<size_t> constants = {};               // operands that are initialisers
  std::vector<std::vector<std::string>> dims = {};  // of operands, where they are not their own sizes
  int outputs = 1;
};

class OnnxOps : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::path(testing::TempDir()) / ("fovea_onnx_ops_" + std::to_string(getpid()) + ".onnx");
  }
  void TearDown() override { fs::remove(path_); }

  std::shared_ptr<Module> read(const OneNode& n) const {
    std::vector<std::string> names, results;
    std::vector<Message> inputs, initializers, outputs;
    for (size_t i = 0; i < n.in.size(); ++i) {
      const Array& a = n.in[i];
      names.push_back(a.defined() ? "x" + std::to_string(i) : "");
      if (!a.defined()) continue;
      const Array whole = a.contiguous();
      if (std::find(n.constants.begin(), n.constants.end(), i) != n.constants.end()) {
        Message tensor;
        for (int64_t d : whole.shape()) tensor.number(1, d);
        tensor.number(2, onnx_type(a.dtype())).text(8, names[i]);
        tensor.text(9, {static_cast<const char*>(whole.raw()), static_cast<size_t>(whole.nbytes())});
        initializers.push_back(tensor);
        continue;
      }
      std::vector<std::string> sizes;
      for (int64_t d : a.shape()) sizes.push_back(std::to_string(d));
      inputs.push_back(value(names[i], onnx_type(a.dtype()), i < n.dims.size() ? n.dims[i] : sizes));
    }
    for (int k = 0; k < n.outputs; ++k) {
      results.push_back("y" + std::to_string(k));
      outputs.push_back(value(results.back(), kFloat, {}));
    }
    const Message bytes =
        model(graph({node(n.op, names, results, n.attributes)}, initializers, inputs, outputs), n.version);
    std::ofstream(path_, std::ios::binary) << bytes.bytes();
    return import_onnx(path_.string());
  }

  // Runs it on `in`, or on its own operands.
  std::vector<Array> run(const OneNode& n, std::vector<Array> in = {}) const {
    const auto module = read(n);
    if (in.empty()) in = n.in;
    std::vector<Array> args;
    for (size_t i = 0; i < in.size(); ++i)
      if (in[i].defined() && std::find(n.constants.begin(), n.constants.end(), i) == n.constants.end())
        args.push_back(in[i]);
    return Program(module, "main").run(args);
  }

  std::string error_of(const OneNode& n, ErrorKind kind) const {
    try {
      read(n);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  fs::path path_;
};

inline void expect_close(const Array& got, const Array& want, double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  const auto a = got.to_vector<double>(), b = want.to_vector<double>();
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    ASSERT_LE(std::abs(a[i] - b[i]), tolerance * std::max(1.0, std::abs(b[i])))
        << "element " << i << " is " << a[i];
  }
}

// An array of this shape, filled by f(index).
template <class F>
Array filled(Dims shape, F f) {
  Array a(DType::f64, shape);
  each_index(shape, [&](const Dims& at, int64_t i) { a.set_flat(i, f(at)); });
  return a;
}
inline double element(const Array& a, const Dims& at) { return a.get_flat(flat(a.shape(), at)); }

inline Array integers_of(const std::vector<int64_t>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())});
}

}  // namespace fovea::test
