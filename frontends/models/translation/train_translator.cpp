#include "frontends/models/translation/train_translator.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "frontends/data/metrics.h"
#include "frontends/nn/callbacks.h"
#include "frontends/nn/checkpoint.h"

namespace fovea::models {
namespace {

using Json = nlohmann::ordered_json;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void make_folder(const std::string& path) {
  if (path.empty()) invalid("there is no folder to write to");
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail_errno(error.value(), "make the folder", path);
  if (::access(path.c_str(), W_OK | X_OK) != 0) fail_errno(errno, "write to the folder", path);
}

bool is_run_file(const std::string& name) {
  return name == "model.fovea" || name == "checkpoint.fovea" || name == "log.csv" || name == "log.jsonl" ||
         name.starts_with("events.out.tfevents.");
}

// An earlier run's files go to a folder of their own: nobody's training is lost by starting anew.
void put_aside(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (is_run_file(entry.path().filename())) files.push_back(entry.path());
  if (error) fail_errno(error.value(), "list the folder", folder);
  if (files.empty()) return;
  std::string to;
  for (int i = 1; to.empty() || fs::exists(to, error); ++i) to = folder + "/earlier-" + std::to_string(i);
  make_folder(to);
  for (const fs::path& file : files) {
    fs::rename(file, fs::path(to) / file.filename(), error);
    if (error) fail_errno(error.value(), "put aside", file.string());
  }
  std::fprintf(stderr, "the earlier run in \"%s\" is now in \"%s\"\n", folder.c_str(), to.c_str());
}

// What must be equal for a run to go on.
std::string recipe_of(const TrainTranslatorOptions& o, const std::string& digest) {
  return Json{{"network", Json::parse(o.network.str())},
              {"data", digest},
              {"seed", o.seed},
              {"batch_tokens", o.batch_tokens},
              {"lr", o.lr},
              {"warmup", o.warmup},
              {"smoothing", o.smoothing},
              {"clip_norm", o.clip_norm}}
      .dump();
}

// The facts of a run, for people and for `evaluate` without a folder of data.
std::string facts_of(const TrainTranslatorOptions& o, const Corpus& corpus) {
  Json j = Json::parse(recipe_of(o, corpus.digest));
  j.erase("network");
  if (o.data.pairs.empty()) {
    j["catalogues"] = o.data.catalogues;
    j["lang"] = o.data.lang;
  } else {
    j["pairs_file"] = o.data.pairs;
  }
  j["pairs"] = corpus.size();
  j["train"] = corpus.train.size();
  return j.dump();
}

// The difference between two recipes, in words.
std::string difference(const std::string& a, const std::string& b) {
  const Json x = Json::parse(a, nullptr, false), y = Json::parse(b, nullptr, false);
  if (x.is_object() && y.is_object())
    for (const auto& [key, value] : x.items())
      if (!y.contains(key) || y[key] != value)
        return key + " was " + value.dump() + " and is " + (y.contains(key) ? y[key].dump() : "nothing") +
               " now";
  return "its recipe is another one";
}

struct Start {
  std::map<std::string, std::string> metadata;
  bool resumes = false;
};

// Metadata for the run's files: out of the checkpoint that it goes on from, or new.
Start begin(const TrainTranslatorOptions& o, const Corpus& corpus, const std::string& checkpoint) {
  const std::string recipe = recipe_of(o, corpus.digest);
  if (o.resume && ::access(checkpoint.c_str(), F_OK) == 0) {
    Start start{nn::load_checkpoint(checkpoint).metadata, true};
    if (!start.metadata.contains("fovea.recipe") || !start.metadata.contains(kTokenizerKey))
      invalid("\"" + checkpoint + "\" is not the checkpoint of a translator");
    if (start.metadata["fovea.recipe"] != recipe)
      invalid("the run in \"" + o.out +
              "\" cannot go on: " + difference(start.metadata["fovea.recipe"], recipe));
    return start;
  }
  put_aside(o.out);
  std::fprintf(stderr, "learning %lld pieces from %zu pairs\n", static_cast<long long>(o.network.vocab),
               corpus.train.size());
  return {{{"fovea.recipe", recipe},
           {kNetworkKey, o.network.str()},
           {kTrainingKey, facts_of(o, corpus)},
           {kDecodingKey, Json{{"beam", 4}, {"length_penalty", 1.0}}.dump()},
           {kTokenizerKey, train_tokenizer(corpus.train, o.network.vocab).bytes()}},
          false};
}

std::string checkpoint_of(const TrainTranslatorOptions& o) { return o.out + "/checkpoint.fovea"; }

// Bounds, checkpoints, logs and schedule; what depends on the data comes later.
nn::FitOptions fit_options(const TrainTranslatorOptions& o) {
  nn::FitOptions fit;
  fit.epochs = o.epochs;
  fit.max_steps = o.steps;
  fit.minutes = o.minutes;
  fit.seed = o.seed;
  fit.schedule = Schedule::inverse_sqrt(o.lr, o.warmup);
  fit.callbacks = {
      std::make_shared<nn::LogFile>(o.out + "/log.csv", nn::MetricLog::Format::csv, o.log_steps),
      std::make_shared<nn::LogFile>(o.out + "/log.jsonl", nn::MetricLog::Format::json_lines, o.log_steps),
      std::make_shared<nn::TensorBoard>(o.out, o.log_steps)};
  fit.progress = o.progress;
  fit.checkpoint = checkpoint_of(o);
  fit.checkpoint_steps = o.checkpoint_steps;
  fit.checkpoint_seconds = o.checkpoint_seconds;
  fit.resume = o.resume;
  fit.items = target_tokens;
  fit.unit = "token";
  return fit;
}

}  // namespace

TrainTranslatorResult train_translator(const TrainTranslatorOptions& o) {
  if (o.minutes <= 0 && o.steps <= 0 && o.epochs <= 0)
    invalid("nothing bounds the run: give minutes, steps or epochs");
  TrainTranslatorResult out;
  out.model = o.out + "/model.fovea";
  out.corpus = read_corpus(o.data);
  if (out.corpus.train.empty())
    invalid("of " + std::to_string(out.corpus.size()) + " pairs none is for training");
  make_folder(o.out);
  Start start = begin(o, out.corpus, checkpoint_of(o));
  const auto tokenizer = data::Tokenizer::from_bytes(start.metadata.at(kTokenizerKey));
  const std::vector<data::TokenPair> train = encode_pairs(tokenizer, out.corpus.train),
                                     valid = encode_pairs(tokenizer, out.corpus.valid);
  for (const data::TokenPair& p : train) out.epoch_tokens += static_cast<int64_t>(p.target.size());

  nn::Model model = make_network(o.network, o.seed);
  std::vector<Spec> specs = translation_specs();
  const Spec labels = specs.back();
  specs.pop_back();
  model.compile({.optimizer = Adam{.lr = o.lr, .beta1 = 0.9, .beta2 = 0.98},
                 .loss = losses::cross_entropy({.smoothing = o.smoothing, .ignore_index = 0}),
                 .clip_norm = o.clip_norm,
                 .seed = o.seed,
                 .inputs = specs,
                 .labels = labels,
                 .memory_budget = o.memory_budget});
  nn::FitOptions fit = fit_options(o);
  if (o.validate && !valid.empty()) fit.validation = translation_data(valid, 4096);
  fit.metadata = start.metadata;
  const nn::History history = model.fit(translation_data(train, o.batch_tokens), fit);
  start.metadata.erase("fovea.recipe");
  Json facts = Json::parse(start.metadata[kTrainingKey]);
  facts["steps"] = history.steps;
  facts["target_tokens"] = history.items;
  start.metadata[kTrainingKey] = facts.dump();
  model.save(out.model, {.metadata = start.metadata});
  out.steps = history.steps;
  out.target_tokens = history.items;
  out.seconds = history.seconds;
  out.signal = history.signal;
  out.recomputed = history.recomputed;
  return out;
}

TranslatorScores score_translator(const SavedTranslator& translator, const Corpus& corpus,
                                  const TranslateOptions& options) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  TranslatorScores out{kNone, kNone, kNone, 0, 0, {}};
  double started = now();
  const NllSum nll = translator.nll(encode_pairs(translator.tokenizer(), corpus.valid));
  if (nll.tokens > 0) out.valid_nll = nll.sum / static_cast<double>(nll.tokens);
  out.valid_seconds = now() - started;
  std::vector<std::string> sources, references;
  for (const data::TextPair& p : corpus.test) {
    sources.push_back(p.source);
    references.push_back(p.target);
  }
  started = now();
  for (const auto& best : translator.translate(sources, options)) out.hypotheses.push_back(best.at(0).text);
  out.translate_seconds = now() - started;
  if (!references.empty()) {
    out.bleu = data::corpus_bleu(out.hypotheses, references).score;
    out.chrf = data::corpus_chrf(out.hypotheses, references);
  }
  return out;
}

}  // namespace fovea::models
