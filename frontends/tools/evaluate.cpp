// fovea evaluate: how well a saved translator does.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/tools/command.h"
#include "frontends/tools/translation.h"

namespace fovea::tools {
namespace {

struct EvaluateCommand {
  std::string model;
  models::CorpusSource data;
  bool lang_given = false;
  std::optional<int64_t> beam;
  std::optional<double> length_penalty;
  int64_t examples = 0;
  bool json = false;
  int threads = 0;
};

// Without data on the command line: the data the file says it was trained on.
void fill_in(EvaluateCommand& c, const models::SavedTranslator& translator) {
  const auto at = translator.metadata().find(models::kTrainingKey);
  const auto facts = at == translator.metadata().end() ? nlohmann::json()
                                                       : nlohmann::json::parse(at->second, nullptr, false);
  auto text = [&](const char* key) {
    return facts.is_object() && facts.contains(key) && facts[key].is_string() ? facts[key].get<std::string>()
                                                                              : "";
  };
  if (!c.lang_given && !text("lang").empty()) c.data.lang = text("lang");
  if (!c.data.catalogues.empty() || !c.data.pairs.empty()) return;
  c.data.catalogues = text("catalogues");
  c.data.pairs = text("pairs_file");
}

void evaluate(EvaluateCommand& c) {
  if (c.threads > 0) set_num_threads(c.threads);
  const auto translator = models::SavedTranslator::load(c.model);
  fill_in(c, translator);
  const models::Corpus corpus = models::read_corpus(c.data);
  models::TranslateOptions options{.generate = translator.defaults()};
  options.generate.beam = c.beam.value_or(1);
  options.generate.length_penalty = c.length_penalty.value_or(options.generate.length_penalty);
  const models::TranslatorScores scores = models::score_translator(translator, corpus, options);
  print_examples(corpus, scores.hypotheses, static_cast<size_t>(std::max<int64_t>(0, c.examples)));
  if (!c.json) {
    fmt::print(
        "{} test pairs: BLEU {:.2f}, chrF {:.2f} (beam {}, {:.1f} s); {} validation pairs: {:.4f} nats a "
        "token\n",
        corpus.test.size(), scores.bleu, scores.chrf, options.generate.beam, scores.translate_seconds,
        corpus.valid.size(), scores.valid_nll);
    return;
  }
  nlohmann::ordered_json line;
  add_scores(line, scores);
  line["beam"] = options.generate.beam;
  line["pairs"] = corpus.size();
  line["valid"] = corpus.valid.size();
  line["test"] = corpus.test.size();
  line["seconds"] = rounded(scores.valid_seconds + scores.translate_seconds, 1e-2);
  fmt::print("{}\n", line.dump());
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto c = std::make_shared<EvaluateCommand>();
  CLI::App* cmd = app.add_subcommand("evaluate", "score a saved translator on the validation and test pairs");
  cmd->add_option("model", c->model, "a .fovea file, or the folder of a run")->required();
  add_data_options(*cmd, c->data);
  cmd->add_option("--beam", c->beam, "hypotheses followed; 1: greedy (default)");
  cmd->add_option("--length-penalty", c->length_penalty, "alpha of ((5 + length) / 6)^alpha");
  cmd->add_option("--examples", c->examples, "also print so many translations")->capture_default_str();
  cmd->add_flag("--json", c->json, "one JSON line instead of text");
  cmd->add_option("--threads", c->threads, "threads (default: one for each core)");
  cmd->footer("example:\n  fovea evaluate runs/fr/model.fovea --catalogues catalogues --lang fr --json");
  cmd->callback([c, cmd] {
    c->lang_given = cmd->count("--lang") > 0;
    evaluate(*c);
  });
}

}  // namespace fovea::tools
