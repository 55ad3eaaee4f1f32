// What may watch and steer a training run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frontends/nn/fit.h"
#include "frontends/nn/report/log.h"
#include "frontends/nn/report/progress.h"
#include "frontends/nn/report/tensorboard.h"

namespace fovea::nn {

/// Called by a TrainingLoop, in the order of FitOptions::callbacks. What a callback throws ends the run.
class Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_begin(TrainingLoop&) {}  ///< after a resume was read
  virtual void before_step(TrainingLoop&, const Batch&) {}
  virtual void on_step(TrainingLoop&) {}        ///< after every batch
  virtual void on_validation(TrainingLoop&) {}  ///< TrainingLoop::validation() is new
  virtual void on_epoch(TrainingLoop&) {}       ///< the last of TrainingLoop::history() is new
  /// The loss is NaN or infinite. What is returned joins the error's text.
  virtual std::string on_not_finite(TrainingLoop&, const Batch&) { return ""; }
  virtual void on_end(TrainingLoop&) {}  ///< after the last checkpoint; not if the run throws
  /// True if the line was shown.
  virtual bool on_message(const std::string&) { return false; }
  /// State that belongs in checkpoints: arrays as "callback/…", text as metadata "callback/…".
  virtual void save(Checkpoint&) const {}
  virtual void load(const Checkpoint&) {}
};

/// A progress bar with remaining time and rate; plain lines where the output is no terminal.
class Progress : public Callback {
 public:
  explicit Progress(ProgressBar::Output output = ProgressBar::Output::detect, int fd = 2)
      : output_(output), fd_(fd) {}
  void on_begin(TrainingLoop& loop) override;
  void on_step(TrainingLoop& loop) override;
  void on_epoch(TrainingLoop& loop) override;
  void on_end(TrainingLoop& loop) override;
  bool on_message(const std::string& text) override;

 private:
  ProgressBar::Output output_;
  int fd_;
  bool by_items_ = true;
  std::unique_ptr<ProgressBar> bar_;
};

/// Means over the last `every` updates with rate and learning rate, and validation: one record each, to be
/// shown or logged.
class PeriodicReport : public Callback {
 public:
  /// InvalidArgument for every < 1.
  explicit PeriodicReport(int64_t every);
  void on_begin(TrainingLoop& loop) override;
  void on_step(TrainingLoop& loop) override;
  void on_validation(TrainingLoop& loop) override { report(loop, loop.validation()); }
  void on_end(TrainingLoop& loop) override;

 protected:
  virtual void report(TrainingLoop& loop, const std::vector<Metric>& values) = 0;

 private:
  void flush(TrainingLoop& loop);
  int64_t every_, last_step_ = 0, last_items_ = 0;
  double last_seconds_ = 0;
  std::unique_ptr<Means> window_;
};

/// A log as CSV or JSON lines. A resumed run goes on with the file, without the records behind its
/// checkpoint.
class LogFile : public PeriodicReport {
 public:
  explicit LogFile(std::string path, MetricLog::Format format = MetricLog::Format::csv, int64_t every = 10);
  void on_begin(TrainingLoop& loop) override;

 protected:
  void report(TrainingLoop& loop, const std::vector<Metric>& values) override;

 private:
  std::string path_;
  MetricLog::Format format_;
  std::unique_ptr<MetricLog> log_;
};

/// Curves for TensorBoard, in `folder`.
class TensorBoard : public PeriodicReport {
 public:
  explicit TensorBoard(std::string folder, int64_t every = 10);
  void on_begin(TrainingLoop& loop) override;

 protected:
  void report(TrainingLoop& loop, const std::vector<Metric>& values) override;

 private:
  std::string folder_;
  std::unique_ptr<EventWriter> writer_;
};

/// Whether less or more of a metric is better.
enum class Better : uint8_t { min, max };

/// Watches a metric: after every validation one that begins with "val_", after every epoch any other. NaN is
/// never best.
class BestWatch : public Callback {
 public:
  BestWatch(std::string name, std::string metric, Better better, double min_delta);
  void on_begin(TrainingLoop& loop) override;
  void on_validation(TrainingLoop& loop) override;
  void on_epoch(TrainingLoop& loop) override;
  void save(Checkpoint& out) const override;
  void load(const Checkpoint& from) override;

  /// The best value so far; infinite before the first.
  double best() const { return best_; }
  /// How many values in a row were no better.
  int64_t waited() const { return waited_; }

 protected:
  virtual void on_better(TrainingLoop& loop) = 0;
  virtual void on_no_better(TrainingLoop&) {}
  const std::string& metric() const { return metric_; }
  std::string key() const { return "callback/" + name_ + "/" + metric_; }

 private:
  void look(TrainingLoop& loop, const std::vector<Metric>& values);
  std::string name_, metric_;
  Better better_;
  double min_delta_, best_;
  int64_t waited_ = 0;
};

/// What EarlyStopping watches, and for how long.
struct EarlyStoppingOptions {
  std::string metric = "val_loss";
  int64_t patience = 3;  ///< this many values in a row that are no better end the run
  Better better = Better::min;
  double min_delta = 0;      ///< a value counts as better if it is by more than this
  bool restore_best = true;  ///< give the model the parameters of the best moment at the end
};

/// Stops a run that gets no better.
class EarlyStopping : public BestWatch {
 public:
  explicit EarlyStopping(EarlyStoppingOptions options = {});
  void on_end(TrainingLoop& loop) override;
  void save(Checkpoint& out) const override;
  void load(const Checkpoint& from) override;

 protected:
  void on_better(TrainingLoop& loop) override;
  void on_no_better(TrainingLoop& loop) override;

 private:
  EarlyStoppingOptions options_;
  std::map<std::string, Array> kept_;  // parameters and buffers of the best moment
};

/// Keeps the checkpoint of the best moment at `path`.
class BestCheckpoint : public BestWatch {
 public:
  explicit BestCheckpoint(std::string path, std::string metric = "val_loss", Better better = Better::min);

 protected:
  void on_better(TrainingLoop& loop) override;

 private:
  std::string path_;
};

/// Names the node where the first NaN of a failing step came from. Keeps a copy of all state before every
/// step, so that the step can be run again: for hunting, not for everyday runs.
class NanFinder : public Callback {
 public:
  void before_step(TrainingLoop& loop, const Batch& batch) override;
  std::string on_not_finite(TrainingLoop& loop, const Batch& batch) override;

 private:
  std::vector<Array> arguments_;
};

}  // namespace fovea::nn
