// What the subcommands share that train a Transformer on a text.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "framework/base/digest.h"
#include "frontends/tools/checks.h"
#include "frontends/tools/training.h"
#include "frontends/tools/vocabulary.h"

namespace fovea::tools {

/// --text; --length, --dim, --heads, --layers and --dropout of a BertConfig or GptConfig.
inline void add_text_option(CLI::App& cmd, std::string& text) {
  cmd.add_option("--text", text, "a UTF-8 file, plain or gzip; its last tenth is for validation")->required();
}
template <class Config>
void add_network_options(CLI::App& cmd, Config& net, const char* length, int64_t least_length) {
  cmd.add_option("--length", net.length, length)
      ->check(CLI::Range(least_length, int64_t{1} << 20))
      ->capture_default_str();
  cmd.add_option("--dim", net.dim, "width")->check(positive())->capture_default_str();
  cmd.add_option("--heads", net.heads, "attention heads")->check(positive())->capture_default_str();
  cmd.add_option("--layers", net.layers)->check(positive())->capture_default_str();
  cmd.add_option("--dropout", net.dropout)->check(CLI::Range(0.0, 0.99))->capture_default_str();
}

/// What of the data and the network must be equal for a run to go on.
template <class Config>
nlohmann::ordered_json network_recipe(const char* model, const std::string& text, int64_t vocab,
                                      const Config& net) {
  return {{"model", model}, {"data", digest(text).hex()}, {"vocab", vocab},       {"length", net.length},
          {"dim", net.dim}, {"heads", net.heads},         {"layers", net.layers}, {"dropout", net.dropout}};
}

/// What a run on a text gave.
struct TextRun {
  nn::History history;
  int64_t per_epoch = 0;  ///< updates of one pass over the text
};

/// Trains `model` on windows of `length` of the tokens `ids`, validates on `valid_windows` (0: all) of their
/// last tenth, and saves. InvalidArgument for a text shorter than ten windows or so.
TextRun train_on_text(nn::Model& model, const TrainingOptions& options, const RunStart& start,
                      const std::vector<int32_t>& ids, int64_t length, int64_t valid_windows,
                      const MakeBatch& make);

}  // namespace fovea::tools
