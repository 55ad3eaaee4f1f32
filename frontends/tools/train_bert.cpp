// fovea train bert: masked words (Devlin et al. 2019, section 3.1) on a text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "frontends/data/random.h"
#include "frontends/data/tokenizer.h"
#include "frontends/models/bert.h"
#include "frontends/tools/checks.h"
#include "frontends/tools/command.h"
#include "frontends/tools/memory_budget.h"
#include "frontends/tools/text_training.h"
#include "frontends/tools/training.h"
#include "frontends/tools/vocabulary.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

struct BertCommand {
  TrainingOptions train;
  std::string text;
  int64_t vocab = 4000;
  models::BertConfig net;
  double mask = 0.15;
  int64_t valid_windows = 128;
};

// Hides tokens of windows: `share` of them are chosen, at least one; of these 8 in 10 become `mask_id`, 1 in
// 10 another piece, 1 in 10 stays. Labels are the chosen tokens, -100 elsewhere.
struct Masking {
  double share;
  int32_t mask_id;  // also the number of pieces

  // {ids i32 [B, L + 1] behind bos, keep bool [B, L + 1], labels i32 [B, L + 1]}
  nn::Batch operator()(std::span<const std::span<const int32_t>> windows,
                       std::span<const uint64_t> random) const {
    const auto n = static_cast<int64_t>(windows.size()), length = static_cast<int64_t>(windows[0].size()) + 1;
    Array ids(DType::i32, {n, length}), keep = Array::full(DType::boolean, {n, length}, 1),
                                        labels = Array::full(DType::i32, {n, length}, -100);
    for (int64_t i = 0; i < n; ++i)
      hide(windows[static_cast<size_t>(i)], random[static_cast<size_t>(i)], ids.data<int32_t>() + i * length,
           labels.data<int32_t>() + i * length);
    return {ids, keep, labels};
  }

  void hide(std::span<const int32_t> window, uint64_t seed, int32_t* ids, int32_t* labels) const {
    data::Random random(seed, 0);
    const auto one = random.below(window.size());
    *ids++ = data::Tokenizer::kBos;
    ++labels;
    for (size_t i = 0; i < window.size(); ++i) {
      ids[i] = window[i];
      const bool chosen = random.uniform() < share || i == one;
      const double how = random.uniform();
      const auto other = static_cast<int32_t>(random.below(static_cast<uint64_t>(mask_id)));
      if (!chosen) continue;
      labels[i] = window[i];
      if (how < 0.8)
        ids[i] = mask_id;
      else if (how < 0.9)
        ids[i] = other;
    }
  }
};

// What must be equal for a run to go on.
Json facts(const BertCommand& c, const std::string& text) {
  Json j = network_recipe("bert", text, c.vocab, c.net);
  j["mask"] = c.mask;
  add_recipe(j, c.train);
  return j;
}

nn::Model make_model(const BertCommand& c) {
  auto net = std::make_shared<models::Bert>(c.net);
  nn::Model model(net);
  const std::vector<Spec> specs{Spec(DType::i32, {sym("B"), sym("L")}, "ids"),
                                Spec(DType::boolean, {sym("B"), sym("L")}, "keep")};
  model.add_entry(
      "encode",
      [net](const std::vector<Tensor>& in) { return std::vector<Tensor>{net->encode(in[0], in[1])}; }, specs);
  model.compile({.optimizer = AdamW{.lr = c.train.lr, .beta2 = 0.98, .weight_decay = 0.01},
                 .loss = nn::losses::cross_entropy({.ignore_index = nn::metrics::kIgnore}),
                 .metrics = {nn::metrics::accuracy()},
                 .clip_norm = 1,
                 .groups = {nn::no_decay_on_vectors()},
                 .seed = c.train.seed,
                 .inputs = specs,
                 .labels = Spec(DType::i32, {sym("B"), sym("L")}, "labels"),
                 .memory_budget = budget_bytes(c.train.memory_budget)});
  return model;
}

void train(BertCommand& c) {
  const std::string text = read_text(c.text);
  const RunStart start = begin_run(c.train, facts(c, text), [&] {
    fmt::print(stderr, "learning {} pieces from {} bytes of text\n", c.vocab, text.size());
    return piece_vocabulary(text, c.vocab)->metadata();
  });
  const auto vocabulary = vocabulary_of(start.metadata);
  const std::vector<int32_t> ids = vocabulary->encode(text);
  c.net.vocab = vocabulary->size() + 1;
  nn::Model model = make_model(c);
  const Masking masking{c.mask, static_cast<int32_t>(vocabulary->size())};
  const TextRun run = train_on_text(model, c.train, start, ids, c.net.length - 1, c.valid_windows, masking);
  Json line{{"model", "bert"},
            {"tokens", ids.size()},
            {"vocab", c.net.vocab},
            {"valid_loss", decimal(last_value(run.history, "val_loss"), 4)},
            {"valid_accuracy", decimal(last_value(run.history, "val_accuracy"), 4)}};
  add_results(line, model, run.history, run.per_epoch, "token");
  fmt::print("{}\n", line.dump());
}

}  // namespace

void add_train_bert(CLI::App& train_app) {
  auto c = std::make_shared<BertCommand>();
  c->train.epochs = 1;
  c->train.batch = 16;
  c->train.lr = 5e-4;
  CLI::App* cmd = train_app.add_subcommand("bert", "train an encoder on a text by guessing masked words");
  add_text_option(*cmd, c->text);
  cmd->add_option("--vocab", c->vocab, "SentencePiece pieces; the mask is one more token")
      ->check(positive())
      ->capture_default_str();
  add_network_options(*cmd, c->net, "tokens of a sequence, bos included", 2);
  cmd->add_option("--mask", c->mask, "share of the tokens to be guessed")
      ->check(CLI::Range(0.01, 0.9))
      ->capture_default_str();
  cmd->add_option("--valid-windows", c->valid_windows, "sequences that validation looks at; 0: all")
      ->check(not_negative())
      ->capture_default_str();
  add_training_options(*cmd, c->train);
  cmd->footer(
      "One JSON line on standard output: valid_loss and valid_accuracy over the masked tokens, and "
      "more.\nexample:\n"
      "  fovea train bert --text book.txt --vocab 4000 --minutes 10 --out runs/words");
  cmd->callback([c] { train(*c); });
}

}  // namespace fovea::tools
