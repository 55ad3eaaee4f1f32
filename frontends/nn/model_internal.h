// What a Model consists of.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "frontends/nn/model.h"

namespace fovea::nn {

struct Model::Impl {
  // Of a model with a class.
  std::shared_ptr<Module> module;
  std::map<std::string, Parameter> parameters;  // by the names they have in files
  Forward forward;
  Recipe recipe;
  bool compiled = false;
  std::vector<Spec> inputs;  // as compile() said, or as seen last
  std::optional<Spec> labels;
  std::unique_ptr<TrainStep> step;
  std::map<std::string, Array> pending;  // training state from load_weights()
  struct Entry {
    std::string name;
    Function function;
    std::vector<Spec> inputs;
  };
  std::vector<Entry> added;

  // Of a loaded one.
  std::shared_ptr<fovea::Module> graphs;
  std::map<std::string, Array> weights;
  std::map<std::string, std::string> metadata;

  std::mutex mutex;  // of programs and inputs
  std::map<std::string, std::shared_ptr<Program>> programs;

  void require_class(const char* what) const;
  void require_compiled(const char* what) const;
  CompileOptions compile_options() const;
  std::vector<Spec> with_weights(const std::vector<Spec>& data) const;
  void trace_entry(const std::shared_ptr<fovea::Module>& into, const std::string& name, const Function& fn,
                   const std::vector<Spec>& data) const;
  Function predict_function() const;
  std::vector<Tensor> measures(const std::vector<Tensor>& batch) const;
  std::vector<Column> columns() const;
  std::vector<Spec> batch_specs(const Dataset& data);
  void make_step(const Dataset& data);
  std::shared_ptr<Program> program(const std::string& name, const Function& fn,
                                   const std::vector<Spec>& data);
  std::shared_ptr<fovea::Module> all_entries();
  Array weight(const std::string& name) const;
};

// Weights are inputs of a model's functions and tensors of its file, under these names.
inline std::string weight_name(const NamedParameter& p) {
  return (p.parameter.is_buffer() ? "buffer/" : "param/") + p.name;
}
inline bool is_weight(const std::string& name) {
  return name.starts_with("param/") || name.starts_with("buffer/");
}

/// 'a', 'b', 'c'; or "none".
std::string quoted_list(const std::vector<std::string>& names);

}  // namespace fovea::nn
