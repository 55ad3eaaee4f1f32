#include "frontends/tools/fuzz/cases.h"

#include "graph/build/builder.h"

namespace fovea::tools {

Array random_array(Random& random, DType dtype, const Dims& shape, bool whole) {
  Array a(DType::f64, shape);
  for (int64_t i = 0; i < a.size(); ++i)
    static_cast<double*>(a.raw())[i] =
        whole ? static_cast<double>(random.between(-3, 3)) : random.real(-1.5, 1.5);
  return dtype == DType::f64 ? a : a.cast(dtype);
}

bool add_gradients(FuzzCase& fuzz, Random& random) {
  const Graph& main = fuzz.module->function("main");
  Ints wrt, seeds;
  auto builder = Builder::make(fuzz.module, "gradients");
  std::vector<Tensor> in;
  for (NodeId id : main.inputs) {
    const TensorType& t = main.nodes[id].outputs[0];
    if (is_floating(t.dtype)) wrt.push_back(static_cast<int64_t>(in.size()));
    in.push_back(builder->input("", t));
  }
  std::vector<Array> cotangents;
  for (size_t o = 0; o < main.outputs.size(); ++o) {
    const TensorType& t = main.type(main.outputs[o]);
    if (!is_floating(t.dtype)) continue;
    seeds.push_back(static_cast<int64_t>(o));
    cotangents.push_back(random_array(random, t.dtype, evaluate(t.shape, fuzz.sizes), fuzz.exact));
    in.push_back(builder->input("", t));
  }
  if (wrt.empty() || seeds.empty()) return false;
  const auto out = builder->add(find_op("vjp"), in,
                                {{"function", FunctionRef{"main"}}, {"wrt", wrt}, {"seeds", seeds}}, {});
  for (const Tensor& y : out) builder->output("", y);
  builder->finish();
  fuzz.arguments.insert(fuzz.arguments.end(), cotangents.begin(), cotangents.end());
  fuzz.gradients = true;
  return true;
}

}  // namespace fovea::tools
