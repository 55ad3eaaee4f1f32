#include "frontends/tools/training.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/nn/callbacks.h"
#include "frontends/nn/checkpoint.h"
#include "frontends/tools/checks.h"
#include "frontends/tools/memory_budget.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRecipeKey = "fovea.recipe";

std::string checkpoint_path(const TrainingOptions& o) {
  return o.out.empty() ? "" : o.out + "/checkpoint.fovea";
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail_errno(error.value(), "make the folder", path);
  if (::access(path.c_str(), W_OK | X_OK) != 0) fail_errno(errno, "write to the folder", path);
}

// The first difference between two recipes, in words.
std::string difference(const Json& was, const Json& is) {
  for (const auto& [key, value] : is.items())
    if (!was.contains(key) || was[key] != value)
      return fmt::format("{} was {} and is {} now", key, was.contains(key) ? was[key].dump() : "nothing",
                         value.dump());
  return "its recipe is another one";
}

}  // namespace

void add_training_options(CLI::App& cmd, TrainingOptions& o) {
  const int64_t epochs = o.epochs;
  auto* out = cmd.add_option(
      "--out", o.out,
      "folder for model.fovea, the checkpoint, logs and TensorBoard events; none: nothing is kept");
  cmd.add_option("--epochs", o.epochs,
                 fmt::format("passes over the data (default {}, unless --steps or --minutes)", epochs))
      ->check(positive());
  cmd.add_option("--steps", o.steps, "updates in all")->check(positive());
  cmd.add_option("--minutes", o.minutes, "of training")->check(positive());
  cmd.add_option("--batch", o.batch, "examples of a batch")->check(positive())->capture_default_str();
  cmd.add_option("--lr", o.lr, "learning rate at its peak")->check(positive())->capture_default_str();
  cmd.add_option("--seed", o.seed, "of weights, dropout and the order of the data")->capture_default_str();
  cmd.add_option("--threads", o.threads, "threads (default: one for each core)")->check(positive());
  cmd.add_flag("--resume", o.resume, "go on from the checkpoint in --out, if there is one")->needs(out);
  cmd.add_option("--checkpoint-steps", o.checkpoint_steps, "save after every so many updates; 0: not")
      ->check(not_negative())
      ->capture_default_str();
  cmd.add_option("--checkpoint-seconds", o.checkpoint_seconds,
                 "save when so many seconds have passed; 0: not")
      ->check(not_negative())
      ->capture_default_str();
  cmd.add_option("--log-steps", o.log_steps, "updates between two lines of the logs")
      ->check(positive())
      ->capture_default_str();
  cmd.add_flag("!--no-progress", o.progress, "no progress bar");
  add_memory_budget(cmd, o.memory_budget);
  // Another bound replaces the default number of epochs.
  cmd.parse_complete_callback([&cmd, &o] {
    if (cmd.count("--epochs") == 0 && (cmd.count("--steps") > 0 || cmd.count("--minutes") > 0)) o.epochs = 0;
    if (o.threads > 0) set_num_threads(o.threads);
  });
}

void add_recipe(Json& recipe, const TrainingOptions& o) {
  recipe.update(Json{{"epochs", o.epochs},
                     {"steps", o.steps},
                     {"minutes", o.minutes},
                     {"batch", o.batch},
                     {"lr", o.lr},
                     {"seed", o.seed}});
}

void add_results(Json& line, const nn::Model& model, const nn::History& history, int64_t per_epoch,
                 const std::string& item) {
  line["steps"] = history.steps;
  line["epochs"] = decimal(static_cast<double>(history.steps) / static_cast<double>(per_epoch), 2);
  line[item + "s_per_s"] =
      decimal(history.seconds > 0 ? static_cast<double>(history.items) / history.seconds : 0, 1);
  line["seconds"] = decimal(history.seconds, 1);
  line["parameters"] = model.module().parameter_count();
  if (history.recomputed.launches > 0) line["recomputed"] = Json::parse(recompute_json(history.recomputed));
}

RunStart begin_run(const TrainingOptions& o, const Json& recipe,
                   const std::function<std::map<std::string, std::string>()>& metadata) {
  RunStart start;
  const std::string checkpoint = checkpoint_path(o);
  if (!checkpoint.empty()) {
    make_folder(o.out);
    start.resumes = ::access(checkpoint.c_str(), F_OK) == 0;
    if (start.resumes && !o.resume)
      invalid("\"" + o.out + "\" holds a run already: --resume goes on with it, or choose another --out");
  }
  if (!start.resumes) {
    start.metadata = metadata();
    start.metadata[kRecipeKey] = recipe.dump();
    return start;
  }
  start.metadata = nn::load_checkpoint(checkpoint).metadata;
  const Json was = Json::parse(start.metadata[kRecipeKey], nullptr, false);
  if (!was.is_object()) invalid("\"" + checkpoint + "\" is of no run that 'fovea train' began");
  if (was != recipe) invalid("the run in \"" + o.out + "\" cannot go on: " + difference(was, recipe));
  return start;
}

int64_t total_steps(const TrainingOptions& o, int64_t per_epoch) {
  if (o.epochs == 0) return o.steps;
  const int64_t all = o.epochs * per_epoch;
  return o.steps > 0 ? std::min(o.steps, all) : all;
}

nn::Schedule warmup_cosine(double lr, int64_t total) {
  constexpr int64_t kWarmup = 200;
  if (total == 0) return nn::Schedule::inverse_sqrt(lr, kWarmup);
  return nn::Schedule::cosine(lr, std::min(total / 20, kWarmup), total);
}

nn::FitOptions fit_options(const TrainingOptions& o, const RunStart& start, nn::Schedule schedule) {
  nn::FitOptions fit;
  fit.epochs = o.epochs;
  fit.max_steps = o.steps;
  fit.minutes = o.minutes;
  fit.batch_size = o.batch;
  fit.seed = o.seed;
  fit.schedule = std::move(schedule);
  fit.progress = o.progress;
  if (o.out.empty()) return fit;
  fit.callbacks = {
      std::make_shared<nn::LogFile>(o.out + "/log.csv", nn::MetricLog::Format::csv, o.log_steps),
      std::make_shared<nn::LogFile>(o.out + "/log.jsonl", nn::MetricLog::Format::json_lines, o.log_steps),
      std::make_shared<nn::TensorBoard>(o.out, o.log_steps)};
  fit.checkpoint = checkpoint_path(o);
  fit.checkpoint_steps = o.checkpoint_steps;
  fit.checkpoint_seconds = o.checkpoint_seconds;
  fit.resume = o.resume;
  fit.metadata = start.metadata;
  return fit;
}

void finish_run(const TrainingOptions& o, const nn::Model& model, const nn::History& history,
                const RunStart& start) {
  if (!o.out.empty()) {
    std::map<std::string, std::string> metadata = start.metadata;
    metadata["fovea.training"] = metadata[kRecipeKey];
    metadata.erase(kRecipeKey);
    model.save(o.out + "/model.fovea", {.metadata = metadata});
  }
  if (history.signal == 0) return;
  const std::string name = history.signal == SIGINT ? "SIGINT" : "SIGTERM";
  fail(ErrorKind::Cancelled,
       fmt::format("{} ended the run at step {}; {}", name, history.steps,
                   o.out.empty() ? "nothing is kept without --out"
                                 : "everything is saved, and the same command with --resume goes on"));
}

double last_value(const nn::History& history, const std::string& metric) {
  for (auto record = history.epochs.rbegin(); record != history.epochs.rend(); ++record)
    for (const nn::Metric& m : record->values)
      if (m.name == metric) return m.value;
  return std::numeric_limits<double>::quiet_NaN();
}

Json decimal(double value, int places) {
  if (!std::isfinite(value)) return nullptr;
  return std::stod(fmt::format("{:.{}f}", value, places));
}

}  // namespace fovea::tools
