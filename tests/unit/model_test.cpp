// Model: fits against closed forms, entries, files, metrics, errors.
#include "frontends/nn/model.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <filesystem>
#include <fstream>

#include "graph/serial/model_file.h"
#include "tests/unit/model_test_util.h"

namespace fovea::nn {
namespace {

namespace fs = std::filesystem;
using test::error_of;

struct TwoInputs : Module {
  Linear a, b;
  TwoInputs() : a(2, 3), b(3, 3) { add("a", a), add("b", b); }
  Tensor operator()(const Tensor& x, const Tensor& y) const { return a(x) + b(y); }
};

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
  const std::string text = error_of([&] { loaded.run("decode", {x}); });
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
  EXPECT_NE(error_of([&] {
              Model::load(path("m.fovea")).predict(x);
            }).find("takes 2 inputs ('input0', 'input1'), got 1"),
            std::string::npos);
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
  EXPECT_NE(error_of([&] {
              means.add(std::vector<double>{1}, 1);
            }).find("'loss' is result 1 of a step that returns 1"),
            std::string::npos);
}

TEST_F(ModelTest, ErrorsNameTheNumbers) {
  const Dataset data = classes(16, 5);
  const FitOptions once = {.epochs = 1, .progress = false};
  auto expect_text = [](const std::function<void()>& f, const std::string& part) {
    const std::string text = error_of(f);
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
