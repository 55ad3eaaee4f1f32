// fovea train gpt: a language model of a text, by characters or SentencePiece pieces.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "frontends/models/gpt.h"
#include "frontends/nn/generate.h"
#include "frontends/tools/checks.h"
#include "frontends/tools/command.h"
#include "frontends/tools/memory_budget.h"
#include "frontends/tools/text_training.h"
#include "frontends/tools/training.h"
#include "frontends/tools/vocabulary.h"
#include "ops/composite/log_softmax/log_softmax.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

struct GptCommand {
  TrainingOptions train;
  std::string text, prompt;
  int64_t vocab = 0;
  models::GptConfig net;
  int64_t valid_windows = 64, sample = 200;
  double temperature = 0.8;
};

// {ids i32 [B, L], the ids that follow i32 [B, L]}
nn::Batch next_token_batch(std::span<const std::span<const int32_t>> windows, std::span<const uint64_t>) {
  const auto n = static_cast<int64_t>(windows.size()), length = static_cast<int64_t>(windows[0].size()) - 1;
  Array ids(DType::i32, {n, length}), labels(DType::i32, {n, length});
  for (int64_t i = 0; i < n; ++i) {
    const int32_t* from = windows[static_cast<size_t>(i)].data();
    std::memcpy(ids.data<int32_t>() + i * length, from, static_cast<size_t>(length) * sizeof(int32_t));
    std::memcpy(labels.data<int32_t>() + i * length, from + 1, static_cast<size_t>(length) * sizeof(int32_t));
  }
  return {ids, labels};
}

// decode_step: tokens i32 [R], position i64, state.* [R, heads, C, head width] -> log_probs f32 [R, vocab],
// state.*
void add_decode_step(nn::Model& model, const std::shared_ptr<models::Gpt>& net) {
  const models::GptConfig& c = net->config();
  std::vector<Spec> specs{Spec(DType::i32, {sym("R")}, "tokens"), Spec(DType::i64, {}, "position")};
  for (int64_t i = 0; i < c.layers; ++i)
    for (const char* part : {"keys", "values"})
      specs.emplace_back(DType::f32, Shape{sym("R"), c.heads, sym("C"), c.dim / c.heads},
                         fmt::format("state.{}.{}", i, part));
  model.add_entry(
      "decode_step",
      [net](const std::vector<Tensor>& in) {
        std::vector<nn::KeyValue> caches;
        for (size_t i = 2; i < in.size(); i += 2) caches.push_back({in[i], in[i + 1]});
        const Tensor logits = net->step(unsqueeze(in[0], 1), in[1], caches);
        std::vector<Tensor> out{log_softmax(select_index(logits, 1, 0), -1)};
        for (const nn::KeyValue& cache : caches) out.insert(out.end(), {cache.keys, cache.values});
        return out;
      },
      specs);
}

// The entry decode_step of a model, with the caches it needs.
class GptDecoder final : public nn::StepDecoder {
 public:
  GptDecoder(const nn::Model& model, const models::GptConfig& c) : model_(model) {
    for (int64_t i = 0; i < 2 * c.layers; ++i)
      states_.push_back(Array::zeros(DType::f32, {1, c.heads, c.length, c.dim / c.heads}));
  }
  Array step(std::span<const int32_t> tokens, std::span<const int64_t> from) override {
    if (!from.empty())
      for (Array& s : states_) s = nn::take_rows(s, {from.begin(), from.end()});
    std::vector<Array> in{
        Array::of(std::vector<int32_t>(tokens.begin(), tokens.end()), {static_cast<int64_t>(tokens.size())}),
        Array::scalar(position_++)};
    in.insert(in.end(), states_.begin(), states_.end());
    std::vector<Array> out = model_.run("decode_step", in);
    states_.assign(out.begin() + 1, out.end());
    return out[0];
  }

 private:
  const nn::Model& model_;
  std::vector<Array> states_;
  int64_t position_ = 0;
};

// New text behind the prompt, drawn from the model; the likeliest tokens at temperature 0.
std::string sample_text(const GptCommand& c, const nn::Model& model, const Vocabulary& vocabulary) {
  std::vector<int32_t> prompt = vocabulary.encode(c.prompt);
  if (prompt.empty()) prompt = {vocabulary.begin()};
  const int64_t room = c.net.length - static_cast<int64_t>(prompt.size()) + 1;
  if (room < 1)
    invalid(fmt::format("the prompt has {} tokens, more than the {} that the model sees", prompt.size(),
                        c.net.length));
  GptDecoder decoder(model, c.net);
  for (size_t i = 0; i + 1 < prompt.size(); ++i) decoder.step(std::span(prompt).subspan(i, 1), {});
  nn::GenerateOptions options;
  options.bos = prompt.back();
  options.eos = vocabulary.never();
  options.sample = c.temperature > 0;
  if (options.sample) options.temperature = c.temperature;
  options.seed = c.train.seed;
  const nn::GenerateRequest request{.max_length = std::min(c.sample, room)};
  return c.prompt +
         vocabulary.decode(nn::generate(decoder, std::span(&request, 1), options).at(0).at(0).tokens);
}

// What must be equal for a run to go on.
Json facts(const GptCommand& c, const std::string& text) {
  Json j = network_recipe("gpt", text, c.vocab, c.net);
  add_recipe(j, c.train);
  return j;
}

void train(GptCommand& c) {
  const std::string text = read_text(c.text);
  const RunStart start = begin_run(c.train, facts(c, text), [&] {
    return (c.vocab > 0 ? piece_vocabulary(text, c.vocab) : character_vocabulary(text))->metadata();
  });
  const auto vocabulary = vocabulary_of(start.metadata);
  const std::vector<int32_t> ids = vocabulary->encode(text);
  c.net.vocab = vocabulary->size();
  auto net = std::make_shared<models::Gpt>(c.net);
  nn::Model model(net);
  add_decode_step(model, net);
  model.compile({.optimizer = AdamW{.lr = c.train.lr, .beta2 = 0.99, .weight_decay = 0.1},
                 .loss = nn::losses::cross_entropy(),
                 .clip_norm = 1,
                 .groups = {nn::no_decay_on_vectors()},
                 .seed = c.train.seed,
                 .inputs = {Spec(DType::i32, {sym("B"), sym("L")}, "ids")},
                 .labels = Spec(DType::i32, {sym("B"), sym("L")}, "labels"),
                 .memory_budget = budget_bytes(c.train.memory_budget)});
  const TextRun run =
      train_on_text(model, c.train, start, ids, c.net.length + 1, c.valid_windows, next_token_batch);
  const double loss = last_value(run.history, "val_loss");
  Json line{{"model", "gpt"},
            {"tokens", ids.size()},
            {"vocab", c.net.vocab},
            {"valid_loss", decimal(loss, 4)},
            {"perplexity", decimal(std::exp(loss), 3)}};
  add_results(line, model, run.history, run.per_epoch, "token");
  if (c.sample > 0) {
    line["sample"] = sample_text(c, model, *vocabulary);
    fmt::print(stderr, "{}\n", line["sample"].get_ref<const std::string&>());
  }
  fmt::print("{}\n", line.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

void add_train_gpt(CLI::App& train_app) {
  auto c = std::make_shared<GptCommand>();
  c->train.epochs = 1;
  c->train.batch = 8;
  c->train.lr = 1e-3;
  CLI::App* cmd = train_app.add_subcommand("gpt", "train a language model on a text");
  add_text_option(*cmd, c->text);
  cmd->add_option("--vocab", c->vocab, "so many SentencePiece pieces as tokens (default: characters)")
      ->check(positive());
  add_network_options(*cmd, c->net, "tokens the model sees", 1);
  cmd->add_option("--valid-windows", c->valid_windows,
                  "windows of --length tokens that validation looks at; 0: all")
      ->check(not_negative())
      ->capture_default_str();
  cmd->add_option("--prompt", c->prompt, "how the sample at the end begins");
  cmd->add_option("--sample", c->sample, "tokens of that sample; 0: none")
      ->check(not_negative())
      ->capture_default_str();
  cmd->add_option("--temperature", c->temperature, "of the sample; 0: the likeliest tokens")
      ->check(not_negative())
      ->capture_default_str();
  add_training_options(*cmd, c->train);
  cmd->footer(
      "The sample goes to standard error, one JSON line to standard output.\nexamples:\n"
      "  fovea train gpt --text book.txt --minutes 10 --out runs/book\n"
      "  fovea train gpt --text book.txt --vocab 4000 --length 128 --epochs 3 --prompt \"It was\"");
  cmd->callback([c] { train(*c); });
}

}  // namespace fovea::tools
