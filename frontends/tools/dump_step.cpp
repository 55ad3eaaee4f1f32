#include "frontends/tools/dump_step.h"

#include "frontends/import/safetensors.h"
#include "frontends/nn/train_step.h"

namespace fovea::tools {

void dump_step(const models::Workload& w, uint64_t batch_seed, int64_t rows, const std::string& path) {
  models::Batch batch = w.make_batch(batch_seed);
  if (rows > 0) {
    for (Array& a : batch.inputs) a = a.slice(0, 0, rows).copy();
    batch.labels = batch.labels.slice(0, 0, rows).copy();
  }
  const std::vector<Array> data = batch.arrays();
  std::vector<std::pair<std::string, Array>> out;
  for (size_t i = 0; i < batch.inputs.size(); ++i)
    out.emplace_back("input." + std::to_string(i), batch.inputs[i]);
  out.emplace_back("label", batch.labels);

  std::vector<nn::NamedParameter> trained;
  std::vector<Tensor> arguments;
  for (const nn::NamedParameter& p : w.model->parameters()) {
    out.emplace_back("param/" + p.name, p.parameter.value().copy());
    if (!p.parameter.trainable()) continue;
    trained.push_back(p);
    arguments.emplace_back(p.parameter.value());
  }
  const nn::LossFunction loss = w.step_loss();
  std::vector<int64_t> wrt(trained.size());
  for (size_t i = 0; i < wrt.size(); ++i) wrt[i] = static_cast<int64_t>(i);
  const Tensor key = Array::zeros(DType::i64, {2});
  const Function gradients = value_and_grad(
      [&](const std::vector<Tensor>& in) {
        nn::Scope scope(true, key);
        for (size_t i = 0; i < trained.size(); ++i) scope.bind(trained[i].parameter, in[i]);
        return loss({in.begin() + static_cast<std::ptrdiff_t>(trained.size()), in.end()});
      },
      wrt);
  arguments.insert(arguments.end(), data.begin(), data.end());
  const std::vector<Tensor> result = gradients(arguments);
  out.emplace_back("loss", result[0].array());
  for (size_t i = 0; i < trained.size(); ++i)
    out.emplace_back("grad/" + trained[i].name, result[1 + i].array());

  nn::TrainOptions options;
  options.optimizer = w.optimizer;
  nn::TrainStep step(*w.model, loss, batch.specs(), options);
  for (int i = 0; i < 3; ++i) step(data);
  for (const nn::NamedParameter& p : w.model->parameters())
    out.emplace_back("after/" + p.name, p.parameter.value().copy());
  save_safetensors(path, out, {{"workload", w.name}});
}

}  // namespace fovea::tools
