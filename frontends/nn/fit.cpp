#include "frontends/nn/fit.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "framework/base/error.h"
#include "frontends/nn/callbacks.h"
#include "frontends/nn/signals.h"

namespace fovea::nn {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void at_least_zero(double value, const char* name) {
  if (!(value >= 0)) invalid(std::string("fit: ") + name + " is " + format_metric(value) + ", less than 0");
}

int64_t rows(const Batch& batch) { return batch.empty() || batch[0].rank() < 1 ? 1 : batch[0].dim(0); }

}  // namespace

TrainingLoop::TrainingLoop(TrainStep& train, BatchLoader& loader, FitOptions options,
                           std::vector<Column> columns)
    : train_(train),
      loader_(loader),
      options_(std::move(options)),
      columns_(std::move(columns)),
      means_(columns_) {
  check_options();
  if (options_.progress) options_.callbacks.insert(options_.callbacks.begin(), std::make_shared<Progress>());
}

TrainingLoop::~TrainingLoop() = default;

void TrainingLoop::check_options() const {
  at_least_zero(static_cast<double>(options_.epochs), "epochs");
  at_least_zero(static_cast<double>(options_.max_steps), "max_steps");
  at_least_zero(options_.minutes, "minutes");
  at_least_zero(static_cast<double>(options_.validate_steps), "validate_steps");
  at_least_zero(static_cast<double>(options_.checkpoint_steps), "checkpoint_steps");
  at_least_zero(options_.checkpoint_seconds, "checkpoint_seconds");
  if (options_.epochs == 0 && options_.max_steps == 0 && options_.minutes == 0)
    invalid("fit: nothing bounds the run: set epochs, max_steps or minutes");
  if (options_.checkpoint.empty() &&
      (options_.resume || options_.checkpoint_steps > 0 || options_.checkpoint_seconds > 0))
    invalid("fit: resume, checkpoint_steps and checkpoint_seconds need the path of a checkpoint");
  if (columns_.empty()) invalid("fit: there are no columns; the first one must be the loss");
  for (const auto& c : options_.callbacks)
    if (!c) invalid("fit: a callback is null");
}

double TrainingLoop::lr() const { return lr_; }

void TrainingLoop::stop(std::string why) { end(StopReason::callback, std::move(why)); }

bool TrainingLoop::end(StopReason reason, std::string why) {
  if (!stopping_) out_.reason = reason, out_.message = std::move(why);
  stopping_ = true;
  return true;
}

void TrainingLoop::message(const std::string& text) {
  bool shown = false;
  for (const auto& c : options_.callbacks) shown = c->on_message(text) || shown;
  if (!shown) std::fprintf(stderr, "%s\n", text.c_str());
}

Checkpoint TrainingLoop::checkpoint() {
  Checkpoint c;
  for (auto& [name, array] : train_.state()) c.state.emplace(name, array);
  c.position = loader_.position();
  c.seed = options_.seed;
  if (options_.schedule) c.schedule = options_.schedule->str();
  c.seconds = seconds_;
  c.items = items_;
  c.running = means_.sums();
  c.validated_at = validated_at_;
  c.validation = validation_;
  c.history = history_;
  c.metadata = options_.metadata;
  c.module = options_.checkpoint_module;
  for (const auto& [name, array] : options_.checkpoint_tensors) c.state.emplace(name, array);
  for (const auto& callback : options_.callbacks) callback->save(c);
  return c;
}

void TrainingLoop::save(const std::string& path) { save_checkpoint(path, checkpoint()); }

void TrainingLoop::resume() {
  if (!options_.resume || ::access(options_.checkpoint.c_str(), F_OK) != 0) return;
  const Checkpoint c = load_checkpoint(options_.checkpoint);
  if (c.seed != options_.seed)
    invalid("\"" + options_.checkpoint + "\" is of a run with seed " + std::to_string(c.seed) +
            ", this one has seed " + std::to_string(options_.seed));
  means_.set_sums(c.running);
  train_.load_state(c.state);
  loader_.seek(c.position);
  if (!options_.schedule && !c.schedule.empty()) options_.schedule = Schedule::parse(c.schedule);
  seconds_ = c.seconds;
  items_ = c.items;
  validated_at_ = c.validated_at;
  validation_ = c.validation;
  history_ = c.history;
  for (const auto& callback : options_.callbacks) callback->load(c);
  resumed_ = true;
}

bool TrainingLoop::bound_reached() {
  if (stopping_) return true;
  if (const int signal = SignalGuard::received(); signal != 0 && options_.handle_signals) {
    out_.signal = signal;
    return end(StopReason::signal,
               "signal " + std::to_string(signal) + " after step " + std::to_string(step()));
  }
  if (options_.max_steps > 0 && step() >= options_.max_steps)
    return end(StopReason::steps, std::to_string(step()) + " steps are done");
  if (options_.epochs > 0 && loader_.position().epoch >= options_.epochs)
    return end(StopReason::epochs, std::to_string(options_.epochs) + " epochs are done");
  if (options_.minutes > 0 && seconds_ >= options_.minutes * 60)
    return end(StopReason::time, format_metric(options_.minutes) + " minutes have passed");
  return false;
}

History TrainingLoop::run() {
  const SignalGuard guard(options_.handle_signals);
  out_ = {};
  stopping_ = false;
  resume();
  epoch_ = loader_.position().epoch + 1;
  saved_at_ = step();
  saved_time_ = now();
  for (const auto& c : options_.callbacks) c->on_begin(*this);
  while (!bound_reached()) {
    const double started = now();
    const bool first = loader_.position().batch == 0;
    if (const std::optional<Batch> batch = loader_.next()) {
      one_batch(*batch, started);
    } else {
      if (first) invalid("fit: epoch " + std::to_string(epoch_) + " of the data has 0 batches");
      end_epoch();
    }
  }
  finish();
  return out_;
}

void TrainingLoop::one_batch(const Batch& batch, double started) {
  lr_ = options_.schedule ? (*options_.schedule)(step() + 1) : -1;
  for (const auto& c : options_.callbacks) c->before_step(*this, batch);
  results_ = train_(batch, lr_);
  batch_items_ = options_.items ? options_.items(batch) : rows(batch);
  items_ += batch_items_;
  seconds_ += now() - started;
  const auto loss = static_cast<size_t>(columns_[0].value);
  if (options_.on_nan != OnNan::go_on && loss < results_.size() && !std::isfinite(results_[loss]))
    return not_finite(batch);
  means_.add(results_, static_cast<double>(batch_items_));
  for (const auto& c : options_.callbacks) c->on_step(*this);
  if (options_.validate_steps > 0 && step() > 0 && step() % options_.validate_steps == 0) run_validation();
  save_when_due();
}

void TrainingLoop::not_finite(const Batch& batch) {
  std::string text = "the loss is " + format_metric(results_[static_cast<size_t>(columns_[0].value)]) +
                     " at step " + std::to_string(step()) + " of epoch " + std::to_string(epoch_);
  if (lr_ >= 0) text += ", with learning rate " + format_metric(lr_);
  std::string found;
  for (const auto& c : options_.callbacks) found += c->on_not_finite(*this, batch);
  text += found.empty() ? "; a NanFinder among the callbacks names the node it comes from" : "; " + found;
  if (options_.on_nan == OnNan::raise) invalid("fit: " + text);
  end(StopReason::not_finite, text);
}

void TrainingLoop::run_validation() {
  if (!options_.validate || validated_at_ == step()) return;
  validation_ = options_.validate();
  for (Metric& m : validation_) m.name = "val_" + m.name;
  validated_at_ = step();
  for (const auto& c : options_.callbacks) c->on_validation(*this);
}

EpochRecord TrainingLoop::record() const {
  EpochRecord r{epoch_, step(), seconds_, means_.values()};
  if (validated_at_ == step()) r.values.insert(r.values.end(), validation_.begin(), validation_.end());
  return r;
}

void TrainingLoop::end_epoch() {
  run_validation();
  history_.push_back(record());
  means_.reset();
  for (const auto& c : options_.callbacks) c->on_epoch(*this);
  ++epoch_;
}

void TrainingLoop::save_when_due() {
  if (options_.checkpoint.empty() || step() == saved_at_) return;
  const bool by_steps = options_.checkpoint_steps > 0 && step() - saved_at_ >= options_.checkpoint_steps;
  const bool by_time = options_.checkpoint_seconds > 0 && now() - saved_time_ >= options_.checkpoint_seconds;
  if (!by_steps && !by_time) return;
  saved_at_ = step();
  try {
    save(options_.checkpoint);
  } catch (const Error& e) {  // the run is worth more than one checkpoint; the next one may work
    message(std::string("the checkpoint of step ") + std::to_string(step()) +
            " was not written: " + e.what());
  }
  saved_time_ = now();
}

void TrainingLoop::finish() {
  const bool good = out_.reason != StopReason::not_finite;
  if (good && !options_.checkpoint.empty()) save(options_.checkpoint);
  out_.epochs = history_;
  // An epoch that a bound cut short: reported, but not part of the checkpoint, which goes on inside it.
  if (good && out_.reason != StopReason::signal && !means_.empty()) {
    run_validation();
    out_.epochs.push_back(record());
  }
  for (const auto& c : options_.callbacks) c->on_end(*this);
  out_.steps = step();
  out_.items = items_;
  out_.seconds = seconds_;
  if (const auto plan = train_.program().last_plan()) out_.recomputed = recompute_report(*plan);
}

}  // namespace fovea::nn
