// What the subcommands that train a model share: options, the folder of a run, the line of results.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "frontends/nn/model.h"

namespace CLI {
class App;
}

namespace fovea::tools {

struct TrainingOptions {
  std::string out;  ///< folder of the run; "" for none
  int64_t epochs = 0, steps = 0;
  double minutes = 0;
  int64_t batch = 64;
  double lr = 0;
  uint64_t seed = 0;
  int threads = 0;
  bool resume = false;
  int64_t checkpoint_steps = 0;
  double checkpoint_seconds = 60;
  int64_t log_steps = 10;
  bool progress = true;
  double memory_budget = 0;  ///< MiB; 0: any
};

/// --out, --epochs, --steps, ... with the defaults that `options` holds; epochs count unless steps or minutes
/// are given.
void add_training_options(CLI::App& cmd, TrainingOptions& options);

/// Where a run begins.
struct RunStart {
  std::map<std::string, std::string> metadata;  ///< of checkpoints and the model
  bool resumes = false;
};

/// Adds what of the training must be equal for a run to go on.
void add_recipe(nlohmann::ordered_json& recipe, const TrainingOptions& options);

/// Makes the folder. Metadata come out of the checkpoint that the run goes on from, else from `metadata`.
/// InvalidArgument where the folder holds a run and it is not to be resumed, and where a resumed run would
/// not be the same one: `recipe` holds what must be equal.
RunStart begin_run(const TrainingOptions& options, const nlohmann::ordered_json& recipe,
                   const std::function<std::map<std::string, std::string>()>& metadata);

/// Updates of the whole run where that is known, else 0. `per_epoch`: updates of one pass over the data.
int64_t total_steps(const TrainingOptions& options, int64_t per_epoch);

/// A short rise to the rate, then half a cosine over `total` steps; the inverse square root where that is not
/// known.
nn::Schedule warmup_cosine(double lr, int64_t total);

/// Bounds, checkpoints, logs and schedule of a run that has been begun.
nn::FitOptions fit_options(const TrainingOptions& options, const RunStart& start, nn::Schedule schedule);

/// Saves model.fovea if there is a folder. Cancelled where a signal ended the run.
void finish_run(const TrainingOptions& options, const nn::Model& model, const nn::History& history,
                const RunStart& start);

/// Adds steps, epochs, `item`s a second, seconds and parameters to the line of results, and what a memory
/// budget has cost.
void add_results(nlohmann::ordered_json& line, const nn::Model& model, const nn::History& history,
                 int64_t per_epoch, const std::string& item);

/// What the last validation gave.
double last_value(const nn::History& history, const std::string& metric);

/// `value` with so many decimal places, null for what is not finite.
nlohmann::ordered_json decimal(double value, int places);

}  // namespace fovea::tools
