// The training loop: batches in, a trained model, checkpoints and a history out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "frontends/nn/checkpoint.h"
#include "frontends/nn/dataset.h"
#include "frontends/nn/metrics.h"
#include "frontends/nn/schedule.h"
#include "frontends/nn/train_step.h"
#include "optim/explain/recompute.h"

namespace fovea::nn {

class Callback;

/// What happens when a step's loss is NaN or infinite. The last checkpoint is left as it is in every case but
/// `go_on`.
enum class OnNan : uint8_t {
  raise,  ///< InvalidArgument that names step and rate
  stop,   ///< the run ends there; History::reason says so
  go_on,
};

/// How to train. At least one of epochs, max_steps and minutes bounds a run; the first one reached ends it.
struct FitOptions {
  int64_t epochs = 0;     ///< passes over the data, those before a resume included; 0: no bound
  int64_t max_steps = 0;  ///< updates, those before a resume included; 0: no bound
  double minutes = 0;     ///< of training, without validation and saving; 0: no bound

  // How Model::fit cuts arrays in memory into batches.
  int64_t batch_size = 32;
  bool shuffle = true;
  bool drop_last = false;
  uint64_t seed = 0;  ///< of the order of the data

  Dataset validation = {};     ///< what Model::fit evaluates on after every epoch
  int64_t validate_steps = 0;  ///< and besides after every so many updates; 0: not
  /// What TrainingLoop::run calls to validate; Model::fit sets it.
  std::function<std::vector<Metric>()> validate = {};

  std::optional<Schedule> schedule = {};  ///< the optimiser's own constant rate if there is none
  std::vector<std::shared_ptr<Callback>> callbacks = {};
  bool progress = true;  ///< a progress bar on standard error

  std::string checkpoint = {};    ///< path; "" for none. Written at the end, after an interruption, and
  int64_t checkpoint_steps = 0;   ///< after every so many updates,
  double checkpoint_seconds = 0;  ///< and when so many seconds have passed since the last one
  bool resume = false;            ///< go on from `checkpoint` where there is such a file
  std::map<std::string, std::string> metadata = {};  ///< stored in checkpoints
  /// Functions, and tensors besides the training state, that make a checkpoint run as a model; Model::fit
  /// sets both.
  std::shared_ptr<fovea::Module> checkpoint_module = {};
  std::map<std::string, Array> checkpoint_tensors = {};

  /// SIGINT and SIGTERM finish the step, save and return; a second one, half a second later or more, ends
  /// the process.
  bool handle_signals = true;
  OnNan on_nan = OnNan::raise;

  /// What counts for rates and as weight; rows of the first array by default.
  std::function<int64_t(const Batch&)> items = {};
  std::string unit = "row";  ///< the name of an item
  int64_t total_items = 0;   ///< of the whole run, for the remaining time; 0: not known
};

enum class StopReason : uint8_t { epochs, steps, time, callback, signal, not_finite };

/// Metrics of every epoch of a fit.
struct History {
  std::vector<EpochRecord> epochs;  ///< a last one that was not finished included, unless a signal ended it
  int64_t steps = 0, items = 0;
  double seconds = 0;  ///< of training
  StopReason reason = StopReason::epochs;
  int signal = 0;       ///< that ended the run; 0 for none
  std::string message;  ///< why it stopped, for people
  /// What Recipe::memory_budget costs a step, for the sizes of the last batch.
  RecomputeReport recomputed;
};

/// Runs a TrainStep on the batches of a loader. Bounded by steps or epochs and with equal seeds, two runs
/// give equal bits, interrupted and resumed or not.
class TrainingLoop {
 public:
  /// `columns` say what the step's results are. Step and loader must outlive the loop. InvalidArgument for
  /// options that contradict each other.
  TrainingLoop(TrainStep& train, BatchLoader& loader, FitOptions options,
               std::vector<Column> columns = plain_columns({}));
  ~TrainingLoop();

  /// Trains until a bound is reached. Errors of the step and the data come through; the step's state is then
  /// as after the last step that worked.
  History run();

  // For callbacks.
  TrainStep& train() const { return train_; }
  const FitOptions& options() const { return options_; }
  const std::vector<Column>& columns() const { return columns_; }
  int64_t step() const { return train_.step(); }        ///< updates made
  int64_t epoch() const { return epoch_; }              ///< 1 in the first
  double lr() const;                                    ///< of the step that is made or was just made
  double seconds() const { return seconds_; }           ///< of training
  int64_t items() const { return items_; }              ///< in all
  int64_t batch_items() const { return batch_items_; }  ///< in the last batch
  const std::vector<double>& results() const { return results_; }  ///< of the last step
  std::vector<Metric> means() const { return means_.values(); }    ///< over the epoch so far
  /// Of the last validation, names with "val_".
  const std::vector<Metric>& validation() const { return validation_; }
  const std::vector<EpochRecord>& history() const { return history_; }
  bool resumed() const { return resumed_; }
  /// Ends the run after this step.
  void stop(std::string why);
  /// Writes a checkpoint of this moment.
  void save(const std::string& path);
  /// A line for people: above the progress bar, or on standard error where there is none.
  void message(const std::string& text);

 private:
  void check_options() const;
  void resume();
  Checkpoint checkpoint();
  bool bound_reached();
  bool end(StopReason reason, std::string why);
  void one_batch(const Batch& batch, double started);
  void not_finite(const Batch& batch);
  void run_validation();
  void end_epoch();
  EpochRecord record() const;
  void save_when_due();
  void finish();

  TrainStep& train_;
  BatchLoader& loader_;
  FitOptions options_;
  std::vector<Column> columns_;
  Means means_;
  std::vector<double> results_;
  std::vector<Metric> validation_;
  std::vector<EpochRecord> history_;
  int64_t epoch_ = 1, items_ = 0, batch_items_ = 0;
  int64_t validated_at_ = -1, saved_at_ = 0;
  double lr_ = -1, seconds_ = 0, saved_time_ = 0;
  bool resumed_ = false, stopping_ = false;
  History out_;
};

}  // namespace fovea::nn
