// The subcommands of the fovea program. Each has a file of its own and enters itself through one function.
#pragma once

namespace CLI {
class App;
}

namespace fovea::tools {

void add_train(CLI::App& app);
// Below train.
void add_train_gpt(CLI::App& train_app);
void add_train_bert(CLI::App& train_app);
void add_train_vision(CLI::App& train_app);

void add_translate(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_inspect(CLI::App& app);
void add_graph(CLI::App& app);
void add_explain(CLI::App& app);
void add_run(CLI::App& app);
void add_onnx_test(CLI::App& app);
void add_ops(CLI::App& app);
void add_bench(CLI::App& app);
void add_fuzz(CLI::App& app);

}  // namespace fovea::tools
