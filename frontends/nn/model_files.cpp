// Models and files: saving, loading, weights into a model that has a class.
#include "framework/base/error.h"
#include "frontends/nn/model_internal.h"
#include "graph/serial/model_file.h"

namespace fovea::nn {
namespace {

std::string type_of(const Array& a) { return std::string(to_string(a.dtype())) + to_string(a.shape()); }

void check_weights(const std::string& path, const Graph& graph, const std::map<std::string, Array>& weights) {
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const std::string& name = graph.input_name(i);
    if (!is_weight(name)) continue;
    const auto at = weights.find(name);
    if (at == weights.end())
      fail(ErrorKind::Corrupt, "\"" + path + "\": the entry '" + graph.name + "' needs the tensor '" + name +
                                   "', which the file lacks");
    const TensorType& want = graph.nodes[static_cast<size_t>(graph.inputs[i])].outputs[0];
    if (!(TensorType{at->second.dtype(), to_shape(at->second.shape())} == want))
      fail(ErrorKind::Corrupt, "\"" + path + "\": the tensor '" + name + "' is " + type_of(at->second) +
                                   ", the entry '" + graph.name + "' takes " + to_string(want));
  }
}

}  // namespace

void Model::save(const std::string& path, const SaveOptions& options) const {
  Impl& m = *impl_;
  m.require_class("save");
  if (!m.compiled) m.module->initialise(m.recipe.seed, /*only_missing=*/true);
  ModelFile file;
  file.module = m.all_entries();
  file.metadata = options.metadata;
  std::map<std::string, Array> tensors;
  if (options.training_state) {
    if (!m.step) invalid("save: there is no training state before fit()");
    for (auto& [name, array] : m.step->state()) tensors.emplace(name, array);
  }
  for (const NamedParameter& p : m.module->parameters()) tensors.emplace(weight_name(p), p.parameter.value());
  for (auto& [name, array] : tensors) file.tensors.emplace_back(name, array);
  fovea::save(path, file);
}

Model Model::load(const std::string& path, bool map) {
  auto impl = std::make_unique<Impl>();
  ModelFile file = fovea::load(path, {.map = map});
  if (file.module->functions.empty()) {
    std::vector<std::string> names;
    for (size_t i = 0; i < file.tensors.size() && i < 8; ++i) names.push_back(file.tensors[i].first);
    invalid("\"" + path + "\" has no functions to run, only " + std::to_string(file.tensors.size()) +
            " tensors: " + quoted_list(names));
  }
  for (auto& [name, array] : file.tensors) impl->weights.emplace(name, array.contiguous());
  for (const auto& [name, graph] : file.module->functions) check_weights(path, *graph, impl->weights);
  impl->graphs = std::move(file.module);
  impl->metadata = std::move(file.metadata);
  return Model(std::move(impl));
}

void Model::load_weights(const std::string& path) {
  Impl& m = *impl_;
  m.require_class("load_weights");
  std::map<std::string, Array> tensors;
  for (auto& [name, array] : fovea::load(path).tensors) tensors.emplace(name, array);
  const std::vector<NamedParameter> named = m.module->parameters();
  size_t weights = 0;
  for (const auto& [name, array] : tensors) weights += is_weight(name);
  for (const NamedParameter& p : named) {
    const auto at = tensors.find(weight_name(p));
    if (at == tensors.end())
      invalid("\"" + path + "\" has no tensor '" + weight_name(p) + "' for the module");
    if (at->second.dtype() != p.parameter.dtype() || at->second.shape() != p.parameter.shape())
      invalid("\"" + path + "\": '" + weight_name(p) + "' is " + type_of(at->second) + ", the module's is " +
              std::string(to_string(p.parameter.dtype())) + to_string(p.parameter.shape()));
  }
  if (weights != named.size())
    invalid("\"" + path + "\" has " + std::to_string(weights) + " weights, the module has " +
            std::to_string(named.size()));
  for (const NamedParameter& p : named) Parameter(p.parameter).set_value(tensors.at(weight_name(p)));
  m.step.reset();
  m.pending.clear();
  if (tensors.contains("step")) m.pending = std::move(tensors);
}

}  // namespace fovea::nn
