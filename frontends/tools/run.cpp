#include "frontends/tools/run.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "frontends/tools/command.h"

namespace fovea::tools {

int run(int argc, char** argv) {
  CLI::App app("Fovea: train, inspect, evaluate and serve attention models.", "fovea");
  app.require_subcommand(1);
  app.add_flag_callback(
      "-V,--version", [] {}, "print the version");
  add_train(app);
  add_translate(app);
  add_evaluate(app);
  add_inspect(app);
  add_graph(app);
  add_explain(app);
  add_run(app);
  add_onnx_test(app);
  add_ops(app);
  add_bench(app);
  add_fuzz(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& e) {  // a command that ran and says that something failed
    return e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
    if (e.get_exit_code() != 0 && !unknown.empty()) {
      fmt::print(stderr, "fovea: '{}' is not known here; --help lists what is\n", unknown[0]);
      return 2;
    }
    return app.exit(e) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace fovea::tools
