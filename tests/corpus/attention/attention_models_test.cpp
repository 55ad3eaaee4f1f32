// The models of the library: every attention in them is found.
#include "frontends/models/bert.h"
#include "frontends/models/gpt.h"
#include "frontends/models/gru_translator.h"
#include "frontends/models/translator.h"
#include "frontends/models/vit.h"
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

struct Counted {
  int attentions = 0;
  std::string said;
};
// Counts nodes, and looks for as many launches in the plan of the cpu.
Counted counted(const Function& fn, const std::vector<Spec>& specs) {
  std::vector<FusionRecord> records;
  const auto traced = trace(fn, specs);
  const auto module = recognised(traced, &records);
  Counted c{count_of(module->function("main"), "attention"), ""};
  const Bindings sizes{{"B", 2}, {"L", 16}, {"S", 7}, {"T", 5}};
  const Program program(traced, "main");
  try {
    expect_fused(program, "attention", c.attentions, sizes);
  } catch (const Error& e) {
    ADD_FAILURE() << e.what();
  }
  expect_explained(program.records());
  for (const FusionRecord& r : records)
    c.said += (r.fused ? "fused " + r.score : code_of(r) + " " + r.node + ": " + r.sentence) + "\n";
  return c;
}
Spec ids(const char* length) { return {DType::i64, {sym("B"), sym(length)}}; }
Spec keep(const char* length) { return {DType::boolean, {sym("B"), sym(length)}}; }

TEST(Models, Bert) {
  models::Bert model({.vocab = 30, .dim = 16, .heads = 2, .layers = 3, .length = 16});
  model.initialise(1);
  const Counted c = counted([&](const Ts& x) { return Ts{model(x[0], x[1])}; }, {ids("L"), keep("L")});
  EXPECT_EQ(c.attentions, 3) << c.said;
}

TEST(Models, Gpt) {
  models::Gpt model({.vocab = 30, .dim = 16, .heads = 2, .layers = 3, .length = 16});
  model.initialise(1);
  const Counted c = counted([&](const Ts& x) { return Ts{model(x[0])}; }, {ids("L")});
  EXPECT_EQ(c.attentions, 3) << c.said;
  EXPECT_NE(c.said.find("causal(0), fill -inf"), std::string::npos) << c.said;
}

TEST(Models, Vit) {
  models::Vit model({.dim = 12, .heads = 3, .layers = 2, .side = 8});
  model.initialise(1);
  const Counted c =
      counted([&](const Ts& x) { return Ts{model(x[0])}; }, {{DType::f32, {sym("B"), 1, 8, 8}}});
  EXPECT_EQ(c.attentions, 2) << c.said;
}

TEST(Models, Translator) {
  models::Translator model({.vocab = 50, .dim = 16, .heads = 2, .hidden = 32, .layers = 2, .length = 16});
  model.initialise(1);
  const Counted c =
      counted([&](const Ts& x) { return Ts{model(x[0], x[1], x[2])}; }, {ids("S"), keep("S"), ids("T")});
  EXPECT_EQ(c.attentions, 6) << c.said;
}

TEST(Models, AdditiveAttentionIsNone) {
  models::GruTranslator model;
  const Counted c =
      counted([&](const Ts& x) { return Ts{model(x[0], x[1], x[2])}; }, {ids("S"), ids("T"), keep("S")});
  EXPECT_EQ(c.attentions, 0) << c.said;
}

}  // namespace
}  // namespace fovea::corpus
