// The training loop: resumed runs bit for bit, signals, callbacks, logs, losses that are not finite, bounds.
#include "frontends/nn/fit.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "framework/base/file_faults.h"
#include "frontends/nn/find_nan.h"
#include "tests/unit/model_test_util.h"

namespace fovea::nn {
namespace {

namespace fs = std::filesystem;
using test::error_of;

// Its logarithm of a negative number is the bad node.
struct Bad : Module {
  Linear map;
  Bad() : map(2, 1) { add("map", map); }
  static constexpr int kLine = __LINE__ + 1;
  Tensor operator()(const Tensor& x) const { return log(x) + map(x); }
};

class FitTest : public FolderTest {};

FitOptions bounded(int64_t steps) {
  return {.max_steps = steps,
          .batch_size = 10,
          .seed = 3,
          .schedule = Schedule::inverse_sqrt(0.02, 5),
          .progress = false};
}

TEST_F(FitTest, AResumedRunHasTheBitsOfAnUninterruptedOne) {
  const Dataset data = classes(64, 5);  // 7 batches an epoch: the cut at step 10 lies inside the second
  for (int accumulate : {1, 2}) {
    Recipe r = recipe();
    r.accumulate = accumulate;
    r.clip_norm = 1;
    Model whole(Net{});
    whole.compile(r);
    FitOptions options = bounded(24);
    options.validation = classes(20, 8);
    const History full = whole.fit(data, options);

    options.checkpoint = path("run" + std::to_string(accumulate));
    options.max_steps = 10;
    Model first(Net{});
    first.compile(r);
    EXPECT_EQ(first.fit(data, options).steps, 10);
    options.max_steps = 24;
    options.resume = true;
    Model second(Net{});
    r.seed = 11;
    second.compile(r);
    const History rest = second.fit(data, options);
    EXPECT_EQ(rest.steps, 24);
    EXPECT_EQ(rest.items, full.items);
    expect_equal_parameters(copies_of(whole), copies_of(second));
    ASSERT_EQ(rest.epochs.size(), full.epochs.size());
    for (size_t i = 0; i < full.epochs.size(); ++i)
      for (size_t k = 0; k < full.epochs[i].values.size(); ++k) {
        EXPECT_EQ(rest.epochs[i].values[k].name, full.epochs[i].values[k].name);
        EXPECT_EQ(rest.epochs[i].values[k].value, full.epochs[i].values[k].value)
            << full.epochs[i].values[k].name << " of epoch " << i + 1;
      }
    // The checkpoint runs as a model, too.
    const Array x = test::normal({3, 4}, 1);
    expect_equal_bits(Model::load(options.checkpoint).predict(x), second.predict(x));
  }
}

struct RaiseAt : Callback {
  RaiseAt(int64_t step, int number, std::chrono::milliseconds pause = {})
      : step(step), number(number), pause(pause) {}
  void on_step(TrainingLoop& loop) override {
    if (loop.step() != step) return;
    std::this_thread::sleep_for(pause);
    ::raise(number);
  }
  int64_t step;
  int number;
  std::chrono::milliseconds pause;
};

void nothing(int) {}

TEST_F(FitTest, ASignalFinishesTheStepAndSaves) {
  const Dataset data = classes(64, 5);
  Model whole(Net{});
  whole.compile(recipe());
  whole.fit(data, bounded(12));
  for (int number : {SIGINT, SIGTERM}) {
    FitOptions options = bounded(12);
    options.checkpoint = path("run" + std::to_string(number));
    options.resume = true;
    options.callbacks = {std::make_shared<RaiseAt>(5, number)};
    Model model(Net{});
    model.compile(recipe());
    ::signal(number, nothing);
    const History history = model.fit(data, options);
    EXPECT_EQ(::signal(number, SIG_DFL), nothing) << "the handler did not come back";
    EXPECT_EQ(history.reason, StopReason::signal);
    EXPECT_EQ(history.signal, number);
    EXPECT_EQ(history.steps, 5);
    Model again(Net{});
    again.compile(recipe());
    options.callbacks.clear();
    EXPECT_EQ(again.fit(data, options).steps, 12);
    expect_equal_parameters(copies_of(whole), copies_of(again));
  }
}

void run_with_two_signals(std::chrono::milliseconds pause) {
  Model model(Net{});
  model.compile(recipe());
  FitOptions options = bounded(12);
  options.callbacks = {std::make_shared<RaiseAt>(5, SIGINT), std::make_shared<RaiseAt>(5, SIGTERM, pause)};
  ::_exit(model.fit(classes(64, 5), options).signal);
}

TEST_F(FitTest, ASecondSignalEndsTheProcess) {
  EXPECT_EXIT(run_with_two_signals(std::chrono::milliseconds(700)), ::testing::KilledBySignal(SIGTERM), "");
}

TEST_F(FitTest, TwoSignalsAtOnceAreOne) {
  EXPECT_EXIT(run_with_two_signals({}), ::testing::ExitedWithCode(SIGINT), "");
}

// Keeps a copy of the parameters after every epoch.
struct Recorder : Callback {
  void on_epoch(TrainingLoop& loop) override {
    epochs.emplace_back();
    for (const auto& [name, array] : loop.train().state())
      if (name.starts_with("param/")) epochs.back().push_back(array.copy());
  }
  std::vector<std::vector<Array>> epochs;
};

TEST_F(FitTest, EarlyStoppingWaitsAndRestoresTheBest) {
  Line net(4, 3);
  net.initialise(1);
  const Dataset data = classes(30, 5);
  auto run = [&](EarlyStoppingOptions stopping, std::vector<double> losses,
                 const std::shared_ptr<Recorder>& recorder) {
    auto loss = [&](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{cross_entropy(net(in[0]), in[1])};
    };
    auto step = std::make_unique<TrainStep>(
        net, loss, std::vector<Spec>{{DType::f32, {sym("B"), 4}, "x"}, {DType::i64, {sym("B")}, "y"}},
        TrainOptions{});
    BatchLoader loader(data.batches({.batch_size = 10}));
    FitOptions options = {.epochs = 20, .progress = false};
    size_t at = 0;
    options.validate = [&] { return std::vector<Metric>{{"loss", losses.at(at++)}}; };
    options.callbacks = {recorder, std::make_shared<EarlyStopping>(stopping)};
    const History history = TrainingLoop(*step, loader, options).run();
    return std::pair(history, std::move(step));
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  auto recorder = std::make_shared<Recorder>();
  const auto [history, step] = run({.patience = 3}, {3, 2, 1, 5, nan, 1.0, 7}, recorder);
  EXPECT_EQ(history.reason, StopReason::callback);
  ASSERT_EQ(history.epochs.size(), 6u);  // best in the third, then three that are no better
  EXPECT_NE(history.message.find("'val_loss' has not been better than 1"), std::string::npos)
      << history.message;
  const auto state = step->state();
  for (size_t i = 0; i < 2; ++i) expect_equal_bits(state[i].second, recorder->epochs[2][i]);

  recorder = std::make_shared<Recorder>();
  const auto [most, last] =
      run({.patience = 2, .better = Better::max, .min_delta = 0.5, .restore_best = false},
          {1, 1.4, 1.6, 2, 2}, recorder);
  EXPECT_EQ(most.epochs.size(), 5u);  // 1, then 1.6 is better by more than 0.5, then two that are not
  expect_equal_bits(last->state()[0].second, recorder->epochs.back()[0]);

  const std::string text = error_of([&] { run({.metric = "val_f1"}, {1}, recorder); });
  EXPECT_NE(text.find("EarlyStopping watches 'val_f1'; there are: val_loss"), std::string::npos) << text;
}

TEST_F(FitTest, BestCheckpointAndLogs) {
  Model model(Net{});
  model.compile(recipe());
  FitOptions options = {
      .epochs = 3, .batch_size = 16, .validation = classes(30, 9), .validate_steps = 2, .progress = false};
  options.callbacks = {std::make_shared<BestCheckpoint>(path("best"), "val_accuracy", Better::max),
                       std::make_shared<LogFile>(path("log.csv"), MetricLog::Format::csv, 2),
                       std::make_shared<LogFile>(path("log.jsonl"), MetricLog::Format::json_lines, 4),
                       std::make_shared<TensorBoard>(path("events"), 1)};
  model.fit(classes(64, 5), options);
  EXPECT_GE(load_checkpoint(path("best")).state.size(), 6u);
  const std::string csv = read_file(path("log.csv"));
  EXPECT_EQ(csv.substr(0, 15), "step,epoch,loss");
  EXPECT_NE(csv.find("val_accuracy"), std::string::npos);
  EXPECT_NE(csv.find("\n12,3,"), std::string::npos) << csv;
  EXPECT_NE(read_file(path("log.jsonl")).find("\"items_per_second\":"), std::string::npos);
  EXPECT_FALSE(fs::is_empty(path("events")));
}

TEST_F(FitTest, PlainProgressGoesToAFile) {
  Model model(Line(4, 3));
  model.compile(recipe());
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  FitOptions options = {.epochs = 2, .batch_size = 16, .progress = false};
  options.callbacks = {std::make_shared<Progress>(ProgressBar::Output::plain, ends[1])};
  model.fit(classes(64, 5), options);
  ::close(ends[1]);
  std::string text(4096, '\0');
  text.resize(static_cast<size_t>(::read(ends[0], text.data(), text.size())));
  ::close(ends[0]);
  EXPECT_NE(text.find("epoch 1  loss"), std::string::npos) << text;
  EXPECT_NE(text.find("accuracy"), std::string::npos) << text;
}

TEST_F(FitTest, NanStopsTheRunAndIsFound) {
  Array x = test::normal({8, 2}, 1), y = Array::zeros(DType::f32, {8, 2});
  for (int64_t i = 0; i < x.size(); ++i) x.set_flat(i, 1 + std::abs(x.get_flat(i)));
  x.set_flat(13, -1);  // row 6
  FitOptions options = {
      .epochs = 3, .batch_size = 4, .shuffle = false, .checkpoint = path("run"), .checkpoint_steps = 1};
  options.progress = false;
  Model model(Bad{});
  model.compile({.loss = losses::mse});
  std::string text = error_of([&] { model.fit(Dataset(x, y), options); });
  EXPECT_NE(text.find("the loss is nan at step 2 of epoch 1, with learning rate 0.001"), std::string::npos)
      << text;
  EXPECT_NE(text.find("NanFinder"), std::string::npos) << text;
  EXPECT_EQ(load_checkpoint(path("run")).state.at("step").to_vector<int64_t>()[0], 1)
      << "the last good one stays";

  options.callbacks = {std::make_shared<NanFinder>()};
  options.on_nan = OnNan::stop;
  Model again(Bad{});
  again.compile({.loss = losses::mse});
  const History history = again.fit(Dataset(x, y), options);
  EXPECT_EQ(history.reason, StopReason::not_finite);
  EXPECT_NE(history.message.find("the first NaN is in the result of 'log', 1 of the elements of f32[4, 2]"),
            std::string::npos)
      << history.message;
  EXPECT_NE(history.message.find("fit_test.cpp:" + std::to_string(Bad::kLine)), std::string::npos)
      << history.message;
  EXPECT_NE(history.message.find("from -1 to"), std::string::npos) << history.message;
}

TEST_F(FitTest, FindNanTellsInputsInfinitiesAndCleanRunsApart) {
  const auto module =
      trace([](const std::vector<Tensor>& in) { return std::vector<Tensor>{sum(exp(in[0] * 2.0))}; },
            {Spec(DType::f32, {sym("N")}, "x")});
  const Program program(module, "main");
  EXPECT_FALSE(find_nan(program, std::vector{Array::of(std::vector<float>{1, 2}, {2})}).found);
  const NanReport large = find_nan(program, std::vector{Array::of(std::vector<float>{1, 200}, {2})});
  EXPECT_EQ(large.op, "exp");
  EXPECT_EQ(large.kind, "infinity");
  EXPECT_EQ(large.count, 1);
  const NanReport bad = find_nan(program, std::vector{Array::of(std::vector<float>{NAN, NAN, 0}, {3})});
  EXPECT_EQ(bad.op, "input");
  EXPECT_EQ(bad.name, "x");
  EXPECT_EQ(bad.count, 2);
  EXPECT_NE(error_of([&] { find_nan(program, {}); }).find("takes 1 arguments, got 0"), std::string::npos);
}

TEST_F(FitTest, AFailedPeriodicSaveDoesNotEndTheRun) {
  struct Fail : Callback {
    void on_step(TrainingLoop& loop) override {
      if (loop.step() == 3) file_faults().arm(FileStep::fsync, 1, EIO);
    }
    bool on_message(const std::string& text) override { return messages.push_back(text), true; }
    std::vector<std::string> messages;
  };
  auto watch = std::make_shared<Fail>();
  Model model(Net{});
  model.compile(recipe());
  FitOptions options = bounded(6);
  options.checkpoint = path("run");
  options.checkpoint_steps = 1;
  options.callbacks = {watch};
  EXPECT_EQ(model.fit(classes(64, 5), options).steps, 6);
  ASSERT_EQ(watch->messages.size(), 1u);
  EXPECT_NE(watch->messages[0].find("the checkpoint of step 3 was not written: IO"), std::string::npos)
      << watch->messages[0];
  EXPECT_EQ(load_checkpoint(path("run")).state.at("step").to_vector<int64_t>()[0], 6);
}

TEST_F(FitTest, MinutesBoundARun) {
  Model model(Line(4, 3));
  model.compile(recipe());
  const History h = model.fit(classes(64, 5), {.minutes = 0.05 / 60, .progress = false});
  EXPECT_EQ(h.reason, StopReason::time);
  EXPECT_GE(h.seconds, 0.05);
  EXPECT_LT(h.seconds, 2);
}

}  // namespace
}  // namespace fovea::nn
