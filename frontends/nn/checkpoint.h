// Checkpoints: all that a training run needs to go on with the very next step.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/tensor/array.h"
#include "frontends/data/loader.h"
#include "frontends/nn/report/progress.h"

namespace fovea {
struct Module;
}

namespace fovea::nn {

/// What one pass over the data came to.
struct EpochRecord {
  int64_t epoch = 0;           ///< 1 for the first
  int64_t step = 0;            ///< updates made when it ended
  double seconds = 0;          ///< of training so far, without validation and saving
  std::vector<Metric> values;  ///< means over the epoch; validation's begin with "val_"
};

/// The state of a run between two steps.
struct Checkpoint {
  std::map<std::string, Array> state;  ///< TrainStep::state(); callbacks add theirs as "callback/…"
  data::LoaderPosition position;       ///< of the next batch
  uint64_t seed = 0;                   ///< of the run
  std::string schedule;                ///< Schedule::str(), or ""
  double seconds = 0;                  ///< spent on training
  int64_t items = 0;                   ///< trained on
  std::vector<double> running;         ///< sums of the epoch in progress: Means::sums()
  int64_t validated_at = -1;           ///< the step of the last validation, -1 for none,
  std::vector<Metric> validation;      ///< and what it gave
  std::vector<EpochRecord> history;
  std::map<std::string, std::string> metadata;  ///< the caller's own: any bytes
  /// Functions of the model, so that the checkpoint runs as one; may be null.
  std::shared_ptr<fovea::Module> module;
};

/// Writes the checkpoint to one .fovea file, atomically: at every moment, also after kill -9, `path` holds
/// the old checkpoint or all of the new one. IO or ResourceExhausted where the system refuses; the old file
/// then stays.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);

/// Reads it back, every number with its bits. Corrupt, with path and place, for a damaged file;
/// InvalidArgument for a .fovea file that is not a checkpoint; VersionMismatch for a newer one.
Checkpoint load_checkpoint(const std::string& path);

}  // namespace fovea::nn
