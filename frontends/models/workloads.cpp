#include "frontends/models/workloads.h"

#include "framework/base/error.h"
#include "frontends/models/bert.h"
#include "frontends/models/gpt.h"
#include "frontends/models/gru_translator.h"
#include "frontends/models/resnet20.h"
#include "frontends/models/translator.h"
#include "frontends/models/vit.h"
#include "frontends/nn/init.h"
#include "ops/composite/cross_entropy/cross_entropy.h"

namespace fovea::models {
namespace {

// Random data of one batch: each call draws from a stream of its own.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}

  /// Integers in [low, high).
  Array integers(Dims shape, int64_t low, int64_t high) {
    const Array u = nn::init::uniform(0, 1)(DType::f64, shape, next());
    Array out(DType::i64, std::move(shape));
    for (int64_t i = 0; i < out.size(); ++i)
      out.data<int64_t>()[i] =
          low + static_cast<int64_t>(u.data<double>()[i] * static_cast<double>(high - low));
    return out;
  }
  Array normal(Dims shape) { return nn::init::normal()(DType::f32, shape, next()); }
  /// Rows that are true for the first length/2 .. length tokens.
  Array keep(int64_t batch, int64_t length) {
    const Array lengths = integers({batch}, length / 2, length + 1);
    Array out(DType::boolean, {batch, length});
    for (int64_t i = 0; i < out.size(); ++i)
      out.data<bool>()[i] = i % length < lengths.data<int64_t>()[i / length];
    return out;
  }

 private:
  uint64_t next() { return seed_ * 1024 + count_++; }
  uint64_t seed_, count_ = 0;
};

std::function<Tensor(const Tensor&, const Tensor&)> mean_cross_entropy(double smoothing = 0) {
  return [smoothing](const Tensor& logits, const Tensor& labels) {
    return cross_entropy(logits, labels, {.smoothing = smoothing});
  };
}

Workload translator(const std::string& name, bool tiny, double dropout) {
  TranslatorConfig c = tiny ? TranslatorConfig{50, 16, 2, 32, 1, 0.1, 16} : TranslatorConfig{};
  if (dropout >= 0) c.dropout = dropout;
  const int64_t b = tiny ? 3 : 32, l = tiny ? 6 : 32;
  auto model = std::make_shared<Translator>(c);
  return {name,
          model,
          [model](const std::vector<Tensor>& in) { return (*model)(in[0], in[1], in[2]); },
          mean_cross_entropy(0.1),
          [=](uint64_t seed) {
            Draws d(seed);
            const Array src = d.integers({b, l}, 0, c.vocab), keep = d.keep(b, l),
                        tgt = d.integers({b, l}, 0, c.vocab);
            return Batch{{src, keep, tgt}, d.integers({b, l}, 0, c.vocab)};
          },
          b * l,
          Adam{.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.98}};
}

Workload gpt(const std::string& name, bool tiny, double dropout) {
  GptConfig c = tiny ? GptConfig{17, 16, 2, 2, 12} : GptConfig{};
  if (dropout >= 0) c.dropout = dropout;
  const int64_t b = tiny ? 2 : 8, l = c.length;
  auto model = std::make_shared<Gpt>(c);
  return {name,
          model,
          [model](const std::vector<Tensor>& in) { return (*model)(in[0]); },
          mean_cross_entropy(),
          [=](uint64_t seed) {
            Draws d(seed);
            const Array ids = d.integers({b, l}, 0, c.vocab);
            return Batch{{ids}, d.integers({b, l}, 0, c.vocab)};
          },
          b * l,
          AdamW{.lr = 3e-4}};
}

Workload bert(const std::string& name, bool tiny, double dropout) {
  BertConfig c = tiny ? BertConfig{40, 16, 2, 2, 8} : BertConfig{};
  if (dropout >= 0) c.dropout = dropout;
  const int64_t b = tiny ? 2 : 16, l = c.length;
  auto model = std::make_shared<Bert>(c);
  return {name,
          model,
          [model](const std::vector<Tensor>& in) { return (*model)(in[0], in[1]); },
          mean_cross_entropy(),
          [=](uint64_t seed) {
            Draws d(seed);
            const Array ids = d.integers({b, l}, 0, c.vocab), keep = d.keep(b, l);
            return Batch{{ids, keep}, d.integers({b, l}, 0, c.vocab)};
          },
          b * l,
          AdamW{.lr = 1e-4}};
}

std::function<Batch(uint64_t)> images(int64_t batch, int64_t side, int64_t classes) {
  return [=](uint64_t seed) {
    Draws d(seed);
    const Array x = d.normal({batch, 1, side, side});
    return Batch{{x}, d.integers({batch}, 0, classes)};
  };
}

Workload vit(const std::string& name, bool tiny, double dropout) {
  VitConfig c = tiny ? VitConfig{.dim = 12, .heads = 2, .layers = 1, .patch = 4, .side = 8} : VitConfig{};
  if (dropout >= 0) c.dropout = dropout;
  const int64_t b = tiny ? 3 : 64;
  auto model = std::make_shared<Vit>(c);
  return {name,
          model,
          [model](const std::vector<Tensor>& in) { return (*model)(in[0]); },
          mean_cross_entropy(),
          images(b, c.side, c.classes),
          b,
          AdamW{.lr = 1e-3}};
}

Workload resnet(const std::string& name, bool tiny, double) {
  const ResNet20Config c = tiny ? ResNet20Config{.channels = 1, .width = 4, .units = 1} : ResNet20Config{};
  const int64_t b = tiny ? 3 : 64;
  auto model = std::make_shared<ResNet20>(c);
  return {name,
          model,
          [model](const std::vector<Tensor>& in) { return (*model)(in[0]); },
          mean_cross_entropy(),
          images(b, tiny ? 8 : 28, c.classes),
          b,
          Sgd{.lr = 0.1, .momentum = 0.9}};
}

Workload gru(const std::string& name, bool tiny, double) {
  const GruTranslatorConfig c = tiny ? GruTranslatorConfig{30, 8} : GruTranslatorConfig{};
  const int64_t b = tiny ? 3 : 32, l = tiny ? 5 : 20;
  auto model = std::make_shared<GruTranslator>(c);
  return {name,
          model,
          [model](const std::vector<Tensor>& in) { return (*model)(in[0], in[1]); },
          mean_cross_entropy(),
          [=](uint64_t seed) {
            Draws d(seed);
            const Array src = d.integers({b, l}, 0, c.vocab), tgt = d.integers({b, l}, 0, c.vocab);
            return Batch{{src, tgt}, d.integers({b, l}, 0, c.vocab)};
          },
          b * l,
          Adam{.lr = 1e-3}};
}

struct Entry {
  const char* name;
  Workload (*make)(const std::string&, bool tiny, double dropout);
};
constexpr Entry kWorkloads[] = {{"translator", translator}, {"gpt-char", gpt},
                                {"bert-mini", bert},        {"vit", vit},
                                {"resnet20", resnet},       {"gru-attention", gru}};

}  // namespace

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& e : kWorkloads) all.emplace_back(e.name);
    return all;
  }();
  return names;
}

std::vector<Array> Batch::arrays() const {
  std::vector<Array> all = inputs;
  all.push_back(labels);
  return all;
}

std::vector<Spec> Batch::specs() const {
  std::vector<Spec> out;
  for (const Array& a : arrays()) out.emplace_back(a.dtype(), to_shape(a.shape()));
  return out;
}

Function Workload::step_loss() const {
  return [this](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{loss(forward({in.begin(), in.end() - 1}), in.back())};
  };
}

Workload make_workload(const std::string& name, uint64_t seed, WorkloadSize size, double dropout) {
  std::string known;
  for (const Entry& e : kWorkloads) {
    if (name != e.name) {
      known += (known.empty() ? "" : ", ") + std::string(e.name);
      continue;
    }
    Workload w = e.make(name, size == WorkloadSize::tiny, dropout);
    w.model->initialise(seed);
    return w;
  }
  invalid("there is no workload '" + name + "'; there are: " + known);
}

}  // namespace fovea::models
