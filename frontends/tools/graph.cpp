// fovea graph: the functions of a .fovea or .onnx file as text, or as a page to look at.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "framework/base/error.h"
#include "frontends/tools/command.h"
#include "frontends/tools/graph_model.h"
#include "frontends/tools/view/graph_html.h"
#include "graph/text/text.h"
#include "optim/rewrite/optimise.h"

namespace fovea::tools {
namespace {

struct GraphOptions {
  std::string file, function, after, html;
  GraphModelOptions model;
};

void write_page(const GraphOptions& o, const std::shared_ptr<Module>& module) {
  std::vector<ViewFunction> functions;
  const std::vector<std::string> entries = entry_points(*module, o.function);
  o.model.sizes.check(*module, entries);
  for (const std::string& entry : entries) functions.push_back(view_function(module, entry, o.model));
  write_graph_html(o.html, std::filesystem::path(o.file).filename().string(), functions);
}

void graph(GraphOptions& o) {
  if (!o.after.empty() && !o.html.empty())
    invalid("--after is for text: the page shows the first and the last");
  const std::shared_ptr<Module> module = o.model.sizes.load(o.file);
  if (!o.html.empty()) {
    write_page(o, module);
  } else if (!o.after.empty()) {
    const std::vector<std::string> entries = entry_points(*module, o.function);
    if (entries.size() != 1)
      invalid(fmt::format("--after needs --function: one of {}", fmt::join(entries, ", ")));
    PassContext context{module};
    fmt::print("{}", print(*module, *optimise_until(entries[0], context, o.after)));
  } else {
    fmt::print("{}", o.function.empty() ? print(*module) : print(*module, module->function(o.function)));
  }
}

}  // namespace

void add_graph(CLI::App& app) {
  auto o = std::make_shared<GraphOptions>();
  CLI::App* cmd = app.add_subcommand(
      "graph", "print the graph of a .fovea or .onnx file as text, or write a page that shows it");
  cmd->add_option("file", o->file, "a model, a checkpoint or an ONNX model")->required();
  cmd->add_option("--function", o->function, "only this function (default: all, with their constants)");
  cmd->add_option("--after", o->after,
                  "as it is after this pass; 'expanded:PASS': with gradients expanded. Of one function");
  cmd->add_option("--html", o->html,
                  "write one page of HTML: modules, shapes, work, before and after fusion");
  cmd->add_flag("--training", o->model.training, "with --html: the function and its gradient");
  cmd->add_flag("--measure", o->model.measure, "with --html: run it and show the times of its kernels");
  o->model.sizes.add_options(*cmd);
  cmd->footer(
      "examples:\n  fovea graph runs/vit/model.fovea --function predict --after algebra\n"
      "  fovea graph runs/vit/model.fovea --html vit.html --size B=8 --measure");
  cmd->callback([o] { graph(*o); });
}

}  // namespace fovea::tools
