// fovea bench FILE.onnx: how long one call of a model takes.
#pragma once

#include <string>
#include <vector>

namespace fovea::tools {

struct BenchOnnxOptions {
  std::string file;
  std::vector<std::string> shapes;  ///< "name=2,3"
  int steps = 20;
  bool json = false;
  std::string profile;  ///< also write a trace here
};

/// Loads, compiles and times the model on made-up inputs.
void bench_onnx(const BenchOnnxOptions& options);

}  // namespace fovea::tools
