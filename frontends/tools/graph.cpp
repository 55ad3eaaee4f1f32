// fovea graph: the functions of a file as text, or as a page to look at.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "frontends/tools/command.h"
#include "frontends/tools/graph_model.h"
#include "frontends/tools/view/graph_html.h"
#include "graph/serial/model_file.h"
#include "graph/text/text.h"

namespace fovea::tools {
namespace {

struct GraphOptions {
  std::string file, function, html;
  GraphModelOptions model;
};

void graph(const GraphOptions& o) {
  const std::shared_ptr<Module> module = load(o.file, {.tensors = false}).module;
  if (o.html.empty()) {
    fmt::print("{}", o.function.empty() ? print(*module) : print(*module, module->function(o.function)));
    return;
  }
  std::vector<ViewFunction> functions;
  for (const std::string& entry : entry_points(*module, o.function))
    functions.push_back(view_function(module, entry, o.model));
  write_graph_html(o.html, std::filesystem::path(o.file).filename().string(), functions);
}

}  // namespace

void add_graph(CLI::App& app) {
  auto o = std::make_shared<GraphOptions>();
  CLI::App* cmd =
      app.add_subcommand("graph", "print the graph of a model as text, or write a page that shows it");
  cmd->add_option("file", o->file, "a model or a checkpoint")->required();
  cmd->add_option("--function", o->function, "only this function (default: all, with their constants)");
  cmd->add_option("--html", o->html,
                  "write one page of HTML: modules, shapes, work, before and after fusion");
  cmd->add_flag("--training", o->model.training, "with --html: the function and its gradient");
  cmd->add_flag("--measure", o->model.measure, "with --html: run it and show the times of its kernels");
  o->model.sizes.add_options(*cmd);
  cmd->footer(
      "examples:\n  fovea graph runs/vit/model.fovea --function predict\n"
      "  fovea graph runs/vit/model.fovea --html vit.html --size B=8 --measure");
  cmd->callback([o] { graph(*o); });
}

}  // namespace fovea::tools
