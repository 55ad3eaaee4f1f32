#include "frontends/nn/callbacks.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "framework/base/error.h"
#include "frontends/nn/find_nan.h"

namespace fovea::nn {
namespace {

bool of_validation(const std::string& metric) { return metric.starts_with("val_"); }

std::string list(const std::vector<Metric>& values) {
  std::string text;
  for (const Metric& m : values) text += (text.empty() ? "" : ", ") + m.name;
  return text.empty() ? "none" : text;
}

bool of_the_model(const std::string& name) {
  return name.starts_with("param/") || name.starts_with("buffer/");
}

}  // namespace

void Progress::on_begin(TrainingLoop& loop) {
  const FitOptions& o = loop.options();
  ProgressBar::Options options;
  by_items_ = o.total_items > 0 || o.max_steps == 0;
  options.label = "Training";
  options.unit = by_items_ ? o.unit : "step";
  options.total = by_items_ ? o.total_items : o.max_steps;
  options.start = by_items_ ? loop.items() : loop.step();
  options.fd = fd_;
  options.output = output_;
  bar_ = std::make_unique<ProgressBar>(options);
}

void Progress::on_step(TrainingLoop& loop) {
  std::vector<Metric> values = loop.means();
  if (!by_items_ && loop.seconds() > 0)
    values.push_back({loop.options().unit + "/s", static_cast<double>(loop.items()) / loop.seconds()});
  bar_->update(by_items_ ? loop.items() : loop.step(), values);
}

void Progress::on_epoch(TrainingLoop& loop) {
  std::string text = "epoch " + std::to_string(loop.epoch());
  for (const Metric& m : loop.history().back().values) text += "  " + m.name + " " + format_metric(m.value);
  bar_->message(text);
}

void Progress::on_end(TrainingLoop&) { bar_->finish(); }

bool Progress::on_message(const std::string& text) {
  if (bar_) bar_->message(text);
  return bar_ != nullptr;
}

PeriodicReport::PeriodicReport(int64_t every) : every_(every) {
  if (every < 1) invalid("a report after every " + std::to_string(every) + " steps");
}

void PeriodicReport::on_begin(TrainingLoop& loop) {
  window_ = std::make_unique<Means>(loop.columns());
  last_step_ = loop.step();
  last_items_ = loop.items();
  last_seconds_ = loop.seconds();
}

void PeriodicReport::on_step(TrainingLoop& loop) {
  window_->add(loop.results(), static_cast<double>(loop.batch_items()));
  if (loop.step() != last_step_ && loop.step() % every_ == 0) flush(loop);
}

void PeriodicReport::on_end(TrainingLoop& loop) {
  if (loop.step() != last_step_) flush(loop);
}

void PeriodicReport::flush(TrainingLoop& loop) {
  if (window_->empty()) return;
  std::vector<Metric> values = window_->values();
  if (loop.lr() >= 0) values.push_back({"lr", loop.lr()});
  const double seconds = loop.seconds() - last_seconds_;
  if (seconds > 0)
    values.push_back({"items_per_second", static_cast<double>(loop.items() - last_items_) / seconds});
  report(loop, values);
  window_->reset();
  last_step_ = loop.step();
  last_items_ = loop.items();
  last_seconds_ = loop.seconds();
}

LogFile::LogFile(std::string path, MetricLog::Format format, int64_t every)
    : PeriodicReport(every), path_(std::move(path)), format_(format) {}

void LogFile::on_begin(TrainingLoop& loop) {
  PeriodicReport::on_begin(loop);
  log_ = std::make_unique<MetricLog>(path_, format_, loop.step());
}

void LogFile::report(TrainingLoop& loop, const std::vector<Metric>& values) {
  log_->write({loop.step(), loop.epoch()}, values);
}

TensorBoard::TensorBoard(std::string folder, int64_t every)
    : PeriodicReport(every), folder_(std::move(folder)) {}

void TensorBoard::on_begin(TrainingLoop& loop) {
  PeriodicReport::on_begin(loop);
  writer_ = std::make_unique<EventWriter>(folder_, loop.resumed() ? loop.step() : -1);
}

void TensorBoard::report(TrainingLoop& loop, const std::vector<Metric>& values) {
  for (const Metric& m : values)
    writer_->scalar(of_validation(m.name) ? "val/" + m.name.substr(4) : "train/" + m.name, loop.step(),
                    m.value);
}

BestWatch::BestWatch(std::string name, std::string metric, Better better, double min_delta)
    : name_(std::move(name)),
      metric_(std::move(metric)),
      better_(better),
      min_delta_(min_delta),
      best_(better == Better::min ? std::numeric_limits<double>::infinity()
                                  : -std::numeric_limits<double>::infinity()) {
  if (!(min_delta >= 0)) invalid(name_ + ": min_delta is " + format_metric(min_delta) + ", less than 0");
}

void BestWatch::on_begin(TrainingLoop& loop) {
  if (of_validation(metric_) && !loop.options().validate)
    invalid(name_ + " watches '" + metric_ + "', but the run has no validation data");
}

void BestWatch::on_validation(TrainingLoop& loop) {
  if (of_validation(metric_)) look(loop, loop.validation());
}

void BestWatch::on_epoch(TrainingLoop& loop) {
  if (!of_validation(metric_)) look(loop, loop.history().back().values);
}

void BestWatch::look(TrainingLoop& loop, const std::vector<Metric>& values) {
  for (const Metric& m : values) {
    if (m.name != metric_) continue;
    const bool better = better_ == Better::min ? m.value < best_ - min_delta_ : m.value > best_ + min_delta_;
    if (better) {
      best_ = m.value;
      waited_ = 0;
      return on_better(loop);
    }
    ++waited_;
    return on_no_better(loop);
  }
  invalid(name_ + " watches '" + metric_ + "'; there are: " + list(values));
}

void BestWatch::save(Checkpoint& out) const {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g %lld", best_, static_cast<long long>(waited_));
  out.metadata[key()] = text;
}

void BestWatch::load(const Checkpoint& from) {
  const auto at = from.metadata.find(key());
  if (at == from.metadata.end()) return;
  char* end = nullptr;
  best_ = std::strtod(at->second.c_str(), &end);
  waited_ = std::strtoll(end, nullptr, 10);
}

EarlyStopping::EarlyStopping(EarlyStoppingOptions options)
    : BestWatch("EarlyStopping", options.metric, options.better, options.min_delta),
      options_(std::move(options)) {
  if (options_.patience < 1)
    invalid("EarlyStopping: patience is " + std::to_string(options_.patience) + ", less than 1");
}

void EarlyStopping::on_better(TrainingLoop& loop) {
  if (!options_.restore_best) return;
  for (const auto& [name, array] : loop.train().state())
    if (of_the_model(name)) kept_[name] = array.copy();
}

void EarlyStopping::on_no_better(TrainingLoop& loop) {
  if (waited() < options_.patience) return;
  loop.stop("'" + metric() + "' has not been better than " + format_metric(best()) + " " +
            std::to_string(waited()) + " times");
}

void EarlyStopping::on_end(TrainingLoop& loop) {
  if (kept_.empty()) return;
  std::map<std::string, Array> state;
  for (const auto& [name, array] : loop.train().state()) {
    const auto at = kept_.find(name);
    state.emplace(name, at == kept_.end() ? array.copy() : at->second);
  }
  loop.train().load_state(state);
}

void EarlyStopping::save(Checkpoint& out) const {
  BestWatch::save(out);
  for (const auto& [name, array] : kept_) out.state[key() + "/" + name] = array;
}

void EarlyStopping::load(const Checkpoint& from) {
  BestWatch::load(from);
  kept_.clear();
  const std::string prefix = key() + "/";
  for (const auto& [name, array] : from.state)
    if (name.starts_with(prefix)) kept_[name.substr(prefix.size())] = array;
}

BestCheckpoint::BestCheckpoint(std::string path, std::string metric, Better better)
    : BestWatch("BestCheckpoint", std::move(metric), better, 0), path_(std::move(path)) {
  if (path_.empty()) invalid("BestCheckpoint needs a path");
}

void BestCheckpoint::on_better(TrainingLoop& loop) { loop.save(path_); }

void NanFinder::before_step(TrainingLoop& loop, const Batch& batch) {
  arguments_ = loop.train().arguments(batch, loop.lr());
}

std::string NanFinder::on_not_finite(TrainingLoop& loop, const Batch&) {
  return find_nan(loop.train().program(), arguments_).str();
}

}  // namespace fovea::nn
