// fovea train vit, fovea train resnet20: classifiers of grey images in IDX files.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <nlohmann/json.hpp>

#include "framework/base/digest.h"
#include "framework/base/error.h"
#include "frontends/data/idx.h"
#include "frontends/models/resnet20.h"
#include "frontends/models/vit.h"
#include "frontends/tools/checks.h"
#include "frontends/tools/command.h"
#include "frontends/tools/memory_budget.h"
#include "frontends/tools/training.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFashionMnist = "/usr/share/datasets/fashion-mnist";

struct VisionCommand {
  TrainingOptions train;
  std::string kind, data = kFashionMnist;
  std::vector<std::string> classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  double mean = 0.2860, deviation = 0.3530;  // of Fashion-MNIST's training pixels / 255
  models::VitConfig vit;
  models::ResNet20Config resnet;
};

// A file of the data set, packed or not.
std::string data_file(const std::string& folder, const std::string& name) {
  for (const char* end : {".gz", ""})
    if (const std::string path = folder + "/" + name + end; ::access(path.c_str(), R_OK) == 0) return path;
  fail(ErrorKind::IO, fmt::format("there is no {0}.gz or {0} in \"{1}\": install the Debian package "
                                  "dataset-fashion-mnist, or name a folder of "
                                  "IDX files with --data",
                                  name, folder));
}

std::shared_ptr<const data::ImageSet> read_images(const VisionCommand& c, const std::string& part) {
  const std::string labels = data_file(c.data, part + "-labels-idx1-ubyte");
  auto set = std::make_shared<const data::ImageSet>(
      data::read_image_set(data_file(c.data, part + "-images-idx3-ubyte"), labels));
  if (set->count == 0) invalid(labels + ": there are 0 images");
  for (size_t i = 0; i < set->labels.size(); ++i)
    if (set->labels[i] >= c.classes.size())
      invalid(fmt::format("{}: label {} is {}, but there are {} classes", labels, i, set->labels[i],
                          c.classes.size()));
  return set;
}

// {images f32 [B, 1, rows, columns], labels i32 [B]}; pixels become (pixel / 255 - mean) / deviation.
class ImageSource final : public nn::BatchSource {
 public:
  ImageSource(std::shared_ptr<const data::ImageSet> set, data::IndexBatchOptions options, double mean,
              double deviation)
      : set_(std::move(set)), options_(options) {
    for (size_t i = 0; i < value_.size(); ++i)
      value_[i] = static_cast<float>((static_cast<double>(i) / 255 - mean) / deviation);
  }
  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    groups_ = data::index_batches(set_->count, options_, seed, epoch);
    return static_cast<int64_t>(groups_.size());
  }
  nn::Batch make(int64_t index) override {
    const std::vector<int64_t>& rows = groups_[static_cast<size_t>(index)];
    const auto n = static_cast<int64_t>(rows.size()), pixels = set_->rows * set_->columns;
    Array images(DType::f32, {n, 1, set_->rows, set_->columns}), labels(DType::i32, {n});
    auto* to = images.data<float>();
    for (int64_t i = 0; i < n; ++i) {
      const uint8_t* from = set_->pixels.data() + rows[static_cast<size_t>(i)] * pixels;
      for (int64_t p = 0; p < pixels; ++p) *to++ = value_[from[p]];
      labels.data<int32_t>()[i] = set_->labels[static_cast<size_t>(rows[static_cast<size_t>(i)])];
    }
    return {images, labels};
  }

 private:
  std::shared_ptr<const data::ImageSet> set_;
  data::IndexBatchOptions options_;
  std::array<float, 256> value_;
  data::Groups groups_;
};

nn::Dataset dataset(const VisionCommand& c, std::shared_ptr<const data::ImageSet> set,
                    data::IndexBatchOptions options) {
  return nn::Dataset([set, options, mean = c.mean, deviation = c.deviation] {
    return std::make_unique<ImageSource>(set, options, mean, deviation);
  });
}

std::string digest_of(const data::ImageSet& set) {
  Digester d;
  d.update(set.pixels.data(), static_cast<int64_t>(set.pixels.size()));
  d.update(set.labels.data(), static_cast<int64_t>(set.labels.size()));
  return d.value().hex();
}

nn::Model make_model(VisionCommand& c, const data::ImageSet& set) {
  const auto classes = static_cast<int64_t>(c.classes.size());
  if (c.kind == "resnet20") {
    c.resnet.classes = classes;
    return nn::Model(models::ResNet20(c.resnet));
  }
  if (set.rows != set.columns)
    invalid(fmt::format("the images are {} by {}; this ViT takes square ones", set.rows, set.columns));
  c.vit.side = set.rows;
  c.vit.classes = classes;
  return nn::Model(models::Vit(c.vit));
}

nn::Recipe recipe(const VisionCommand& c, const data::ImageSet& set) {
  nn::Recipe r;
  if (c.kind == "vit") {
    r.optimizer = AdamW{.lr = c.train.lr, .weight_decay = 0.05};
    r.clip_norm = 1;
  } else {
    r.optimizer = Sgd{.lr = c.train.lr, .momentum = 0.9, .weight_decay = 5e-4};
  }
  r.groups = {nn::no_decay_on_vectors()};
  r.loss = nn::losses::cross_entropy();
  r.metrics = {nn::metrics::accuracy()};
  r.seed = c.train.seed;
  r.inputs = {Spec(DType::f32, {sym("B"), 1, set.rows, set.columns}, "images")};
  r.labels = Spec(DType::i32, {sym("B")}, "labels");
  r.memory_budget = budget_bytes(c.train.memory_budget);
  return r;
}

// What must be equal for a run to go on.
Json facts(const VisionCommand& c, const data::ImageSet& set) {
  Json j{{"model", c.kind},
         {"data", digest_of(set)},
         {"images", set.count},
         {"mean", c.mean},
         {"std", c.deviation}};
  add_recipe(j, c.train);
  if (c.kind == "vit")
    j.update({{"dim", c.vit.dim}, {"heads", c.vit.heads}, {"layers", c.vit.layers}, {"patch", c.vit.patch}});
  if (c.kind == "resnet20") j.update({{"width", c.resnet.width}, {"units", c.resnet.units}});
  return j;
}

void train(VisionCommand& c) {
  const auto set = read_images(c, "train"), test = read_images(c, "t10k");
  if (test->rows != set->rows || test->columns != set->columns)
    invalid(fmt::format("the images to train on are {} by {}, those to test on {} by {}", set->rows,
                        set->columns, test->rows, test->columns));
  const RunStart start = begin_run(c.train, facts(c, *set), [&] {
    const Json input{{"mean", c.mean}, {"std", c.deviation}, {"rows", set->rows}, {"columns", set->columns}};
    return std::map<std::string, std::string>{{"classes", Json(c.classes).dump()}, {"input", input.dump()}};
  });
  nn::Model model = make_model(c, *set);
  model.compile(recipe(c, *set));
  const bool drop_last = set->count >= c.train.batch;
  const int64_t per_epoch = drop_last ? set->count / c.train.batch : 1,
                total = total_steps(c.train, per_epoch);
  nn::FitOptions fit = fit_options(c.train, start, warmup_cosine(c.train.lr, total));
  fit.validation = dataset(c, test, {.batch_size = 200, .shuffle = false});
  fit.unit = "image";
  fit.total_items = c.train.minutes > 0 ? 0 : total * std::min(c.train.batch, set->count);
  const nn::History history =
      model.fit(dataset(c, set, {.batch_size = c.train.batch, .shuffle = true, .drop_last = drop_last}), fit);
  finish_run(c.train, model, history, start);
  Json line{{"model", c.kind},
            {"test_accuracy", decimal(last_value(history, "val_accuracy"), 4)},
            {"test_loss", decimal(last_value(history, "val_loss"), 4)}};
  add_results(line, model, history, per_epoch, "image");
  fmt::print("{}\n", line.dump());
}

void add_vision(CLI::App& train_app, const std::string& kind, const char* text, double lr) {
  auto c = std::make_shared<VisionCommand>();
  c->kind = kind;
  c->train.epochs = 3;
  c->train.lr = lr;
  CLI::App* cmd = train_app.add_subcommand(kind, text);
  cmd->add_option("--data", c->data,
                  "folder of IDX files: {train,t10k}-{images-idx3,labels-idx1}-ubyte, packed or not "
                  "(default: that of the "
                  "Debian package dataset-fashion-mnist)");
  cmd->add_option("--classes", c->classes,
                  "names of the classes, with commas between (default: those of Fashion-MNIST)")
      ->delimiter(',');
  cmd->add_option("--mean", c->mean, "of the pixels / 255, taken away before training")
      ->capture_default_str();
  cmd->add_option("--std", c->deviation, "of the pixels / 255, divided by")
      ->check(positive())
      ->capture_default_str();
  if (kind == "vit") {
    cmd->add_option("--dim", c->vit.dim, "width")->check(positive())->capture_default_str();
    cmd->add_option("--heads", c->vit.heads, "attention heads")->check(positive())->capture_default_str();
    cmd->add_option("--layers", c->vit.layers)->check(positive())->capture_default_str();
    cmd->add_option("--patch", c->vit.patch, "side of a patch in pixels")
        ->check(positive())
        ->capture_default_str();
  } else {
    cmd->add_option("--width", c->resnet.width, "channels of the first stage")
        ->check(positive())
        ->capture_default_str();
    cmd->add_option("--units", c->resnet.units, "residual units of a stage")
        ->check(positive())
        ->capture_default_str();
  }
  add_training_options(*cmd, c->train);
  cmd->footer(fmt::format(
      "One JSON line on standard output: test_accuracy, images_per_s and more.\nexamples:\n"
      "  fovea train {0} --epochs 3 --out runs/{0}\n  fovea train {0} --epochs 3 --out runs/{0} --resume",
      kind));
  cmd->callback([c] { train(*c); });
}

}  // namespace

void add_train_vision(CLI::App& train_app) {
  add_vision(train_app, "vit", "train a Vision Transformer on Fashion-MNIST or other IDX files", 1e-3);
  add_vision(train_app, "resnet20", "train a ResNet-20 on Fashion-MNIST or other IDX files", 0.1);
}

}  // namespace fovea::tools
