// Training a translator: data, recipe, files.
#pragma once

#include <string>

#include "frontends/models/translation/corpus.h"
#include "frontends/models/translation/network.h"
#include "frontends/models/translation/saved_translator.h"
#include "optim/explain/recompute.h"

namespace fovea::models {

/// The recipe of train_translator().
struct TrainTranslatorOptions {
  CorpusSource data;
  NetworkConfig network;
  /// Folder of model.fovea, checkpoint.fovea, log.csv, log.jsonl and the TensorBoard events.
  std::string out;
  uint64_t seed = 0;

  int64_t batch_tokens = 1024;  ///< target tokens of a batch, padding included
  double lr = 2e-3;             ///< at its peak; falls with the inverse square root of the step
  int64_t warmup = 300;
  double smoothing = 0.1;
  double clip_norm = 0;
  int64_t memory_budget = 0;  ///< as in CompileOptions

  double minutes = 0;    ///< of training; the tokenizer, validation and saving do not count
  int64_t steps = 0;     ///< updates in all
  int64_t epochs = 0;    ///< passes in all; the first bound of the three ends the run
  bool validate = true;  ///< after every epoch

  bool resume = false;  ///< go on from the checkpoint in `out`, if there is one
  int64_t checkpoint_steps = 0;
  double checkpoint_seconds = 60;
  int64_t log_steps = 10;
  bool progress = true;
};

/// What train_translator() did and how good the result is.
struct TrainTranslatorResult {
  std::string model;  ///< path of model.fovea
  Corpus corpus;
  int64_t steps = 0, target_tokens = 0, epoch_tokens = 0;
  double seconds = 0;
  int signal = 0;              ///< that ended the run before its time; 0 for none
  RecomputeReport recomputed;  ///< as in nn::History
};

/// Trains a network on the pairs as the options say; writes `out`. A run that a signal ends has written
/// everything, too, and goes on with `resume`, to equal bits where the bounds are steps or epochs.
/// InvalidArgument for options that do not fit the data or the checkpoint; IO and ResourceExhausted where the
/// folder cannot be written.
TrainTranslatorResult train_translator(const TrainTranslatorOptions& options);

/// How well a translator does on data.
struct TranslatorScores {
  double valid_nll = 0;       ///< mean over target tokens, without smoothing; NaN without validation pairs
  double bleu = 0, chrf = 0;  ///< of the test pairs; NaN without any
  double valid_seconds = 0, translate_seconds = 0;
  std::vector<std::string> hypotheses;  ///< of the test pairs
};
TranslatorScores score_translator(const SavedTranslator& translator, const Corpus& corpus,
                                  const TranslateOptions& options);

}  // namespace fovea::models
