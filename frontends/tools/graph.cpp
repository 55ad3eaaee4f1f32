// fovea graph: the functions of a .fovea file as text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "frontends/tools/command.h"
#include "graph/serial/model_file.h"
#include "graph/text/text.h"

namespace fovea::tools {

void add_graph(CLI::App& app) {
  struct Options {
    std::string file, function;
  };
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("graph", "print the graph of a .fovea file as text");
  cmd->add_option("file", o->file, "a model or a checkpoint")->required();
  cmd->add_option("--function", o->function, "only this function (default: all, with their constants)");
  cmd->footer("example:\n  fovea graph runs/vit/model.fovea --function predict");
  cmd->callback([o] {
    const auto module = load(o->file, {.tensors = false}).module;
    fmt::print("{}", o->function.empty() ? print(*module) : print(*module, module->function(o->function)));
  });
}

}  // namespace fovea::tools
