// fovea train: its subcommands, and those for translators.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/models/translation/train_translator.h"
#include "frontends/tools/command.h"
#include "frontends/tools/memory_budget.h"
#include "frontends/tools/translation.h"

namespace fovea::tools {
namespace {

struct TrainCommand {
  models::TrainTranslatorOptions train;
  std::string preset = "small";
  std::optional<int64_t> vocab, dim, heads, hidden, layers, warmup, steps, epochs;
  std::optional<double> lr, minutes;
  int threads = 0;
  double memory_budget = 0;
  bool evaluate = true;
  int64_t beam = 1;
};

// Sizes and rates that were not given: those of the preset.
void fill_in(TrainCommand& c) {
  const bool base = c.preset == "base", gru = c.train.network.kind == "gru-translator";
  models::NetworkConfig& n = c.train.network;
  n.vocab = c.vocab.value_or(base ? 8000 : 4000);
  n.dim = c.dim.value_or(base || gru ? 256 : 128);
  n.heads = c.heads.value_or(std::max<int64_t>(1, n.dim / 64));
  n.hidden = c.hidden.value_or(4 * n.dim);
  n.layers = c.layers.value_or(base ? 3 : 2);
  c.train.lr = c.lr.value_or(base || gru ? 1e-3 : 2e-3);
  c.train.warmup = c.warmup.value_or(base ? 400 : 300);
  c.train.steps = c.steps.value_or(0);
  c.train.epochs = c.epochs.value_or(0);
  c.train.minutes = c.minutes.value_or(c.steps || c.epochs ? 0 : 4);
}

void train(TrainCommand& c) {
  if (c.threads > 0) set_num_threads(c.threads);
  fill_in(c);
  c.train.memory_budget = budget_bytes(c.memory_budget);
  const models::TrainTranslatorResult result = models::train_translator(c.train);
  if (result.signal != 0)
    fail(ErrorKind::Cancelled,
         fmt::format(
             "{} ended the run at step {}; everything is saved, and the same command with --resume goes on",
             result.signal == SIGINT ? "SIGINT" : "SIGTERM", result.steps));
  nlohmann::ordered_json line{{"model", c.train.network.kind}};
  if (c.train.data.pairs.empty()) line["lang"] = c.train.data.lang;
  line["pairs"] = result.corpus.size();
  line["train"] = result.corpus.train.size();
  line["test"] = result.corpus.test.size();
  line["minutes"] = rounded(result.seconds / 60, 1e-3);
  line["steps"] = result.steps;
  line["target_tokens_per_s"] =
      std::llround(result.seconds > 0 ? static_cast<double>(result.target_tokens) / result.seconds : 0);
  line["epochs"] = rounded(static_cast<double>(result.target_tokens) /
                               static_cast<double>(std::max<int64_t>(1, result.epoch_tokens)),
                           1e-2);
  if (result.recomputed.launches > 0)
    line["recomputed"] = nlohmann::ordered_json::parse(recompute_json(result.recomputed));
  if (c.evaluate) {
    const auto translator = models::SavedTranslator::load(result.model);
    models::TranslateOptions options{.generate = translator.defaults()};
    options.generate.beam = c.beam;
    const models::TranslatorScores scores = models::score_translator(translator, result.corpus, options);
    add_scores(line, scores);
    print_examples(result.corpus, scores.hypotheses, 12);
  }
  fmt::print("{}\n", line.dump());
}

void add_translator(CLI::App& train_app, const std::string& kind, const char* text) {
  auto c = std::make_shared<TrainCommand>();
  models::TrainTranslatorOptions& t = c->train;
  t.network.kind = kind;
  CLI::App* cmd = train_app.add_subcommand(kind, text);
  add_data_options(*cmd, t.data);
  cmd->add_option("--out", t.out, "folder for model.fovea, checkpoint, logs and TensorBoard events")
      ->required();
  cmd->add_option("--minutes", c->minutes, "how long to train (default 4, unless --steps or --epochs)");
  cmd->add_option("--steps", c->steps, "updates in all");
  cmd->add_option("--epochs", c->epochs, "passes over the data in all");
  cmd->add_option("--seed", t.seed, "of weights, dropout and the order of batches")->capture_default_str();
  cmd->add_option("--preset", c->preset, "small: width 128, 2 layers, 4,000 pieces; base: 256, 3, 8,000")
      ->check(CLI::IsMember({"small", "base"}))
      ->capture_default_str();
  cmd->add_option("--dim", c->dim, "width");
  cmd->add_option("--heads", c->heads, "attention heads (default: width / 64)");
  cmd->add_option("--hidden", c->hidden, "width of the inner layers (default: 4 times the width)");
  cmd->add_option("--layers", c->layers, "layers of the encoder, and of the decoder");
  cmd->add_option("--vocab", c->vocab, "pieces of the tokenizer");
  cmd->add_option("--dropout", t.network.dropout)->capture_default_str();
  cmd->add_option("--batch-tokens", t.batch_tokens, "target tokens of a batch")->capture_default_str();
  cmd->add_option("--lr", c->lr, "learning rate at its peak");
  cmd->add_option("--warmup", c->warmup, "steps to the peak; then it falls with the inverse square root");
  cmd->add_option("--smoothing", t.smoothing, "label smoothing")->capture_default_str();
  cmd->add_option("--clip-norm", t.clip_norm, "largest norm of the gradients; 0: any")->capture_default_str();
  cmd->add_flag("--resume", t.resume, "go on from the checkpoint in --out");
  cmd->add_option("--checkpoint-steps", t.checkpoint_steps, "save after every so many steps; 0: not")
      ->capture_default_str();
  cmd->add_option("--checkpoint-seconds", t.checkpoint_seconds,
                  "save when so many seconds have passed; 0: not")
      ->capture_default_str();
  cmd->add_option("--log-steps", t.log_steps, "steps between two lines of the logs")->capture_default_str();
  cmd->add_flag("--validate,!--no-validate", t.validate,
                "measure the loss on the validation pairs after every epoch");
  cmd->add_flag("--evaluate,!--no-evaluate", c->evaluate,
                "at the end, translate the test pairs and score them");
  cmd->add_option("--beam", c->beam, "beam of that; 1: greedy")->capture_default_str();
  cmd->add_option("--threads", c->threads, "threads (default: one for each core)");
  add_memory_budget(*cmd, c->memory_budget);
  cmd->add_flag("!--no-progress", t.progress, "no progress bar");
  cmd->footer(fmt::format(
      "example:\n  fovea train {} --catalogues catalogues --lang fr --minutes 4 --out runs/fr", kind));
  cmd->callback([c] { train(*c); });
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* cmd =
      app.add_subcommand("train", "train a model: translator, gru-translator, gpt, bert, vit or resnet20");
  cmd->require_subcommand(1);
  add_translator(*cmd, "translator", "train a Transformer that translates, on parallel text");
  add_translator(*cmd, "gru-translator",
                 "train a recurrent translator with additive attention, on parallel text");
  add_train_gpt(*cmd);
  add_train_bert(*cmd);
  add_train_vision(*cmd);
}

}  // namespace fovea::tools
