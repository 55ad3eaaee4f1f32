// Model and the training loop: fits against closed forms, files, resumed runs bit for bit, callbacks, errors.
#include "frontends/nn/model.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <Eigen/Dense>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "framework/base/file.h"
#include "framework/base/file_faults.h"
#include "frontends/nn/find_nan.h"
#include "frontends/nn/init.h"
#include "frontends/nn/layers.h"
#include "generated/ops.h"
#include "graph/serial/model_file.h"
#include "tests/support/folder_fixture.h"
#include "tests/unit/nn_test_util.h"

namespace fovea::nn {
namespace {

namespace fs = std::filesystem;
using test::message_of;

struct Line : Module {
  Linear map;
  Line(int64_t in, int64_t out) : map(in, out) { add("map", map); }
  Tensor operator()(const Arg& x) const { return map(x); }
};

struct Net : Module {
  Linear up, down;
  BatchNorm norm;
  Dropout drop;
  explicit Net(int64_t in = 4, int64_t out = 3) : up(in, 8), down(8, out), norm(8), drop(0.25) {
    add("up", up);
    add("norm", norm);
    add("down", down);
  }
  Tensor operator()(const Tensor& x) const { return down(drop(relu(norm(up(x))))); }
};

struct TwoInputs : Module {
  Linear a, b;
  TwoInputs() : a(2, 3), b(3, 3) { add("a", a), add("b", b); }
  Tensor operator()(const Tensor& x, const Tensor& y) const { return a(x) + b(y); }
};

// Its logarithm of a negative number is the bad node.
struct Bad : Module {
  Linear map;
  Bad() : map(2, 1) { add("map", map); }
  static constexpr int kLine = __LINE__ + 1;
  Tensor operator()(const Tensor& x) const { return log(x) + map(x); }
};

void expect_equal_bits(const Array& a, const Array& b, const std::string& what = "") {
  ASSERT_EQ(a.dtype(), b.dtype()) << what;
  ASSERT_EQ(a.shape(), b.shape()) << what;
  EXPECT_EQ(std::memcmp(a.contiguous().raw(), b.contiguous().raw(), static_cast<size_t>(a.nbytes())), 0)
      << what;
}

std::vector<Array> copies_of(const Model& model) {
  std::vector<Array> out;
  for (const NamedParameter& p : model.module().parameters()) out.push_back(p.parameter.value().copy());
  return out;
}

void expect_equal_parameters(const std::vector<Array>& a, const std::vector<Array>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) expect_equal_bits(a[i], b[i], "parameter " + std::to_string(i));
}

double metric(const std::vector<Metric>& values, const std::string& name) {
  for (const Metric& m : values)
    if (m.name == name) return m.value;
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

// 3 classes of points around 3 centres.
Dataset classes(int64_t count, uint64_t seed) {
  const Array noise = test::normal({count, 4}, seed), label = test::ids({count}, seed + 1, 3);
  Array x(DType::f32, {count, 4});
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < 4; ++d)
      x.data<float>()[i * 4 + d] =
          static_cast<float>(0.3 * noise.get_flat(i * 4 + d) + (label.data<int64_t>()[i] == d ? 2 : 0));
  return Dataset(x, label);
}

Recipe recipe() {
  return {.optimizer = Adam{.lr = 0.01},
          .loss = losses::cross_entropy,
          .metrics = {metrics::accuracy},
          .seed = 11};
}

class ModelTest : public FolderTest {};

TEST_F(ModelTest, LinearRegressionReachesTheLeastSquaresSolution) {
  const int64_t n = 64;
  const Array x = test::normal({n, 3}, 1), noise = test::normal({n, 1}, 2);
  Array y(DType::f32, {n, 1});
  Eigen::MatrixXd design(n, 4);
  Eigen::VectorXd target(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t d = 0; d < 3; ++d) design(i, d) = x.get_flat(i * 3 + d);
    design(i, 3) = 1;
    y.set_flat(i, 2 * design(i, 0) - design(i, 1) + 0.5 * design(i, 2) + 3 + 0.1 * noise.get_flat(i));
    target(i) = y.get_flat(i);
  }
  const Eigen::VectorXd best = (design.transpose() * design).ldlt().solve(design.transpose() * target);

  Model model(Line(3, 1));
  model.compile(
      {.optimizer = Sgd{.lr = 0.1}, .loss = losses::mse, .metrics = {metrics::mean_absolute_error}});
  const History history = model.fit(Dataset(x, y), {.epochs = 400, .batch_size = n, .progress = false});
  EXPECT_EQ(history.steps, 400);
  EXPECT_EQ(history.reason, StopReason::epochs);
  ASSERT_EQ(history.epochs.size(), 400u);
  const Array weight = model.module().parameter("map.weight").value(),
              bias = model.module().parameter("map.bias").value();
  for (int64_t d = 0; d < 3; ++d) EXPECT_NEAR(weight.get_flat(d), best(d), 1e-4);
  EXPECT_NEAR(bias.item(), best(3), 1e-4);

  const Eigen::VectorXd residual = design * best - target;
  const std::vector<Metric> values =
      model.evaluate(Dataset(x, y), 7);  // 64 = 9 * 7 + 1: batches of unequal size
  EXPECT_NEAR(metric(values, "loss"), residual.squaredNorm() / n, 1e-5);
  EXPECT_NEAR(metric(values, "mean_absolute_error"), residual.lpNorm<1>() / n, 1e-4);
  EXPECT_NEAR(metric(history.epochs.back().values, "loss"), residual.squaredNorm() / n, 1e-5);
}

TEST_F(ModelTest, LearnsClassesAndValidates) {
  Model model(Net{});
  model.compile(recipe());
  const History history =
      model.fit(classes(256, 5), {.epochs = 8, .validation = classes(100, 50), .progress = false});
  ASSERT_EQ(history.epochs.size(), 8u);
  EXPECT_GT(metric(history.epochs.back().values, "val_accuracy"), 0.97);
  EXPECT_LT(metric(history.epochs.back().values, "val_loss"),
            metric(history.epochs.front().values, "val_loss"));
  // What predict says is what evaluate counts.
  const Dataset test_data = classes(100, 50);
  const Batch all = test_data.batches({.batch_size = 100, .shuffle = false})->begin_epoch(0, 0) == 1
                        ? [&] { auto s = test_data.batches({.batch_size = 100, .shuffle = false}); s->begin_epoch(0, 0); return s->make(0); }()
                        : Batch{};
  const Array logits = model.predict(all[0]);
  ASSERT_EQ(logits.shape(), (Dims{100, 3}));
  int right = 0;
  for (int64_t i = 0; i < 100; ++i) {
    int64_t best = 0;
    for (int64_t c = 1; c < 3; ++c)
      if (logits.at({i, c}) > logits.at({i, best})) best = c;
    right += best == all[1].data<int64_t>()[i];
  }
  EXPECT_DOUBLE_EQ(metric(model.evaluate(test_data, 33), "accuracy"), right / 100.0);
}

TEST_F(ModelTest, ALoadedModelPredictsTheSameBitsForAnyNumberOfRows) {
  Model model(Net{});
  model.compile(recipe());
  model.fit(classes(64, 5), {.epochs = 2, .progress = false});
  model.save(path("net.fovea"), {.metadata = {{"classes", "a b c"}}});
  const Model loaded = Model::load(path("net.fovea"));
  EXPECT_EQ(loaded.metadata().at("classes"), "a b c");
  EXPECT_EQ(loaded.entries(), std::vector<std::string>{"predict"});
  for (int64_t rows : {1, 3, 17}) {
    const Array x = test::normal({rows, 4}, static_cast<uint64_t>(rows));
    expect_equal_bits(loaded.predict(x), model.predict(x));
  }
  expect_equal_bits(Model::load(path("net.fovea"), /*map=*/true).predict(test::normal({5, 4}, 9)),
                    model.predict(test::normal({5, 4}, 9)));

  // Evaluation mode: no dropout, so twice the same; running statistics, so a row does not depend on its
  // neighbours.
  const Array x = test::normal({4, 4}, 3);
  test::expect_near(loaded.predict(x.slice(0, 0, 1)), loaded.predict(x).slice(0, 0, 1), 1e-5);
  expect_equal_bits(loaded.predict(x), loaded.predict(x));

  Model other(Net{});
  other.compile({.optimizer = Sgd{}, .loss = losses::cross_entropy, .seed = 99});
  other.load_weights(path("net.fovea"));
  expect_equal_bits(other.predict(x), model.predict(x));
}

TEST_F(ModelTest, SeveralEntriesShareTheWeights) {
  auto net = std::make_shared<Net>();
  Model model(net);
  model.compile(recipe());
  model.add_entry("hidden",
                  [net](const std::vector<Tensor>& in) {
                    return std::vector<Tensor>{relu(net->up(in[0])), net->up(in[0])};
                  },
                  {Spec(DType::f32, {sym("N"), 4}, "x")});
  const Array x = test::normal({6, 4}, 1);
  model.predict(x);
  model.save(path("two.fovea"));
  const Model loaded = Model::load(path("two.fovea"));
  const std::vector<Array> a = loaded.run("hidden", {x}), b = model.run("hidden", {x});
  ASSERT_EQ(a.size(), 2u);
  expect_equal_bits(a[1], b[1]);
  test::expect_near(a[1], net->up(Tensor(x)).array(), 1e-6);
  const std::string text = message_of([&] { loaded.run("decode", {x}); });
  EXPECT_NE(text.find("no entry 'decode'; it has 'hidden', 'predict'"), std::string::npos) << text;
}

TEST_F(ModelTest, ForwardOfSeveralInputs) {
  Model model(TwoInputs{});
  model.compile({.loss = [](const Tensor& y, const Tensor& t) { return mean(square(y - t)); }});
  const Array x = test::normal({8, 2}, 1), y = test::normal({8, 3}, 2), t = test::normal({8, 3}, 3);
  const History h = model.fit(Dataset({x, y}, t), {.epochs = 3, .batch_size = 4, .progress = false});
  EXPECT_EQ(h.steps, 6);
  EXPECT_EQ(h.items, 24);
  model.save(path("m.fovea"));
  expect_equal_bits(Model::load(path("m.fovea")).predict({x, y}), model.predict({x, y}));
  EXPECT_NE(message_of([&] {
              Model::load(path("m.fovea")).predict(x);
            }).find("takes 2 inputs ('input0', 'input1'), got 1"),
            std::string::npos);
}

FitOptions bounded(int64_t steps) {
  return {.max_steps = steps,
          .batch_size = 10,
          .seed = 3,
          .schedule = Schedule::inverse_sqrt(0.02, 5),
          .progress = false};
}

TEST_F(ModelTest, AResumedRunHasTheBitsOfAnUninterruptedOne) {
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

TEST_F(ModelTest, SavedTrainingStateGoesOnWithTheOptimiser) {
  const Dataset data = classes(40, 5);
  Model whole(Line(4, 3)), first(Line(4, 3)), second(Line(4, 3));
  for (Model* m : {&whole, &first, &second}) m->compile(recipe());
  FitOptions options = {.epochs = 2, .batch_size = 40, .shuffle = false, .progress = false};
  whole.fit(data, options);
  whole.fit(data, options);
  first.fit(data, options);
  first.save(path("state.fovea"), {.training_state = true});
  second.load_weights(path("state.fovea"));
  EXPECT_EQ(second.fit(data, options).steps, 4);
  expect_equal_parameters(copies_of(whole), copies_of(second));
}

struct RaiseAt : Callback {
  RaiseAt(int64_t step, int number) : step(step), number(number) {}
  void on_step(TrainingLoop& loop) override {
    if (loop.step() == step) ::raise(number);
  }
  int64_t step;
  int number;
};

void nothing(int) {}

TEST_F(ModelTest, ASignalFinishesTheStepAndSaves) {
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

void run_with_two_signals() {
  Model model(Net{});
  model.compile(recipe());
  FitOptions options = bounded(12);
  options.callbacks = {std::make_shared<RaiseAt>(5, SIGINT), std::make_shared<RaiseAt>(5, SIGTERM)};
  model.fit(classes(64, 5), options);
  ::_exit(0);
}

TEST_F(ModelTest, ASecondSignalEndsTheProcess) {
  EXPECT_EXIT(run_with_two_signals(), ::testing::KilledBySignal(SIGTERM), "");
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

TEST_F(ModelTest, EarlyStoppingWaitsAndRestoresTheBest) {
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

  const std::string text = message_of([&] { run({.metric = "val_f1"}, {1}, recorder); });
  EXPECT_NE(text.find("EarlyStopping watches 'val_f1'; there are: val_loss"), std::string::npos) << text;
}

TEST_F(ModelTest, BestCheckpointAndLogs) {
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

TEST_F(ModelTest, PlainProgressGoesToAFile) {
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

TEST_F(ModelTest, NanStopsTheRunAndIsFound) {
  Array x = test::normal({8, 2}, 1), y = Array::zeros(DType::f32, {8, 2});
  for (int64_t i = 0; i < x.size(); ++i) x.set_flat(i, 1 + std::abs(x.get_flat(i)));
  x.set_flat(13, -1);  // row 6
  FitOptions options = {
      .epochs = 3, .batch_size = 4, .shuffle = false, .checkpoint = path("run"), .checkpoint_steps = 1};
  options.progress = false;
  Model model(Bad{});
  model.compile({.loss = losses::mse});
  std::string text = message_of([&] { model.fit(Dataset(x, y), options); });
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
  EXPECT_NE(history.message.find("model_test.cpp:" + std::to_string(Bad::kLine)), std::string::npos)
      << history.message;
  EXPECT_NE(history.message.find("from -1 to"), std::string::npos) << history.message;
}

TEST_F(ModelTest, FindNanTellsInputsInfinitiesAndCleanRunsApart) {
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
  EXPECT_NE(message_of([&] { find_nan(program, {}); }).find("takes 1 arguments, got 0"), std::string::npos);
}

TEST(Metrics, AgainstCountsByHand) {
  const Array logits = Array::of(std::vector<float>{5, 1, 0, 0, 1, 2, 3, 0, 9, 8, 0, 7}, {3, 4});
  auto mean_of = [&](const Measure& m, std::vector<int64_t> labels) {
    const Sum s = m.sum(Tensor(logits), Tensor(Array::of(labels, {3})));
    return std::pair(s.total.item(), s.count.item());
  };
  EXPECT_EQ(mean_of(metrics::accuracy(), {0, 1, 0}), std::pair(2.0, 3.0));
  EXPECT_EQ(mean_of(metrics::accuracy(), {0, -100, 1}), std::pair(1.0, 2.0));
  EXPECT_EQ(mean_of(metrics::accuracy(2), {0, 2, 2}), std::pair(1.0, 1.0));
  EXPECT_EQ(mean_of(metrics::top_k(2), {1, 0, 3}), std::pair(1.0, 3.0));
  EXPECT_EQ(mean_of(metrics::top_k(3), {2, -100, 3}), std::pair(2.0, 2.0));
  double nll = 0;
  for (auto [row, label] : {std::pair(0, 0), std::pair(2, 3)}) {
    double total = 0;
    for (int64_t c = 0; c < 4; ++c) total += std::exp(logits.at({row, c}));
    nll -= logits.at({row, label}) - std::log(total);
  }
  const auto [sum, count] = mean_of(metrics::perplexity(), {0, -100, 3});
  EXPECT_NEAR(sum, nll, 1e-5);
  EXPECT_EQ(count, 2);

  Means means({{.name = "loss", .value = 0, .weight = 1},
               {.name = "p", .value = 2, .weight = 1, .is_sum = true, .exponential = true},
               {.name = "rows"}});
  means.add(std::vector<double>{1, 3, 6}, 10);
  means.add(std::vector<double>{2, 1, 2}, 30);
  means.add(std::vector<double>{NAN, 0, 0}, 0);  // a batch in which nothing counts
  const std::vector<Metric> values = means.values();
  EXPECT_DOUBLE_EQ(values[0].value, 5.0 / 4);
  EXPECT_DOUBLE_EQ(values[1].value, std::exp(2.0));
  EXPECT_DOUBLE_EQ(values[2].value, (1 * 10 + 2 * 30) / 40.0);
  EXPECT_NE(message_of([&] {
              means.add(std::vector<double>{1}, 1);
            }).find("'loss' is result 1 of a step that returns 1"),
            std::string::npos);
}

TEST_F(ModelTest, AFailedPeriodicSaveDoesNotEndTheRun) {
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

TEST_F(ModelTest, MinutesBoundARun) {
  Model model(Line(4, 3));
  model.compile(recipe());
  const History h = model.fit(classes(64, 5), {.minutes = 0.05 / 60, .progress = false});
  EXPECT_EQ(h.reason, StopReason::time);
  EXPECT_GE(h.seconds, 0.05);
  EXPECT_LT(h.seconds, 2);
}

TEST_F(ModelTest, ErrorsNameTheNumbers) {
  const Dataset data = classes(16, 5);
  const FitOptions once = {.epochs = 1, .progress = false};
  auto expect_text = [](const std::function<void()>& f, const std::string& part) {
    const std::string text = message_of(f);
    EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" holds no \"" << part << "\"";
  };
  const Array x = test::normal({16, 4}, 1);
  expect_text([&] { Dataset(x, test::ids({15}, 1, 3)); }, "labels has 15 rows, input 0 has 16");
  expect_text([&] { Model(Net{}).fit(data, once); }, "call compile({.loss = ...}) first");
  expect_text([&] { Model(Net{}).compile({}); }, "there is no loss");
  expect_text([&] { Model(Net{}).save(path("m")); }, "the types of the model's inputs are not known");
  Model model(Net{});
  model.compile(recipe());
  expect_text([&] { model.predict({x, x}); }, "no operator() of 2 tensors");
  expect_text([&] { model.predict(Array()); }, "input 0 is undefined");
  expect_text([&] { model.fit(Dataset(), once); }, "the data set is empty");
  expect_text([&] { model.fit(data, {.epochs = -1, .progress = false}); }, "epochs is -1");
  expect_text([&] { model.fit(data, {.epochs = 1, .progress = false, .resume = true}); },
              "need the path of a checkpoint");
  expect_text([&] { model.fit(data, {.epochs = 1, .batch_size = 20, .drop_last = true, .progress = false}); },
              "epoch 1 of the data has 0 batches");
  FitOptions stop = once;
  stop.callbacks = {std::make_shared<EarlyStopping>()};
  expect_text([&] { model.fit(data, stop); }, "watches 'val_loss', but the run has no validation data");
  model.fit(data, {.epochs = 1, .progress = false, .checkpoint = path("run")});
  expect_text(
      [&] {
        model.fit(data,
                  {.epochs = 3, .seed = 4, .progress = false, .checkpoint = path("run"), .resume = true});
      },
      "is of a run with seed 0, this one has seed 4");
  expect_text(
      [&] {
        model.fit(Dataset(test::normal({16, 5}, 1), test::ids({16}, 1, 3)), once);
      },
      "axis 1 should be 4, is 5");

  model.save(path("net.fovea"));
  Model other(Line(4, 3));
  expect_text([&] { other.load_weights(path("net.fovea")); },
              "has no tensor 'param/map.weight' for the module");
  Model wide(Net(5, 3));
  expect_text([&] { wide.load_weights(path("net.fovea")); },
              "'param/up.weight' is f32[8, 4], the module's is f32[8, 5]");
  Model loaded = Model::load(path("net.fovea"));
  expect_text([&] { loaded.compile(recipe()); }, "a loaded model has no module to train");
  expect_text([&] { loaded.predict(test::normal({2, 5}, 1)); }, "axis 1 should be 4, is 5");
  expect_text([&] { loaded.predict(Array::zeros(DType::f64, {2, 4})); }, "another element type");

  ModelFile file = fovea::load(path("net.fovea"));
  std::erase_if(file.tensors, [](const auto& t) { return t.first == "param/up.bias"; });
  fovea::save(path("lacks.fovea"), file);
  expect_text([&] { Model::load(path("lacks.fovea")); },
              "needs the tensor 'param/up.bias', which the file lacks");
  file.module.reset();
  fovea::save(path("weights.fovea"), file);
  expect_text([&] { Model::load(path("weights.fovea")); }, "has no functions to run, only");
}

}  // namespace
}  // namespace fovea::nn
