#include "frontends/models/translation/network.h"

#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "frontends/cpp/control.h"
#include "frontends/models/gru_translator.h"
#include "frontends/models/translator.h"
#include "ops/composite/cross_entropy/cross_entropy.h"
#include "ops/composite/log_softmax/log_softmax.h"
#include "ops/composite/not_equal/not_equal.h"
#include "ops/core/concat/concat.h"
#include "ops/core/gather/gather.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"

namespace fovea::models {
namespace {

using nn::KeyValue;
using Tensors = std::vector<Tensor>;

Spec ids(const char* name, const char* length) { return Spec(DType::i32, {sym("B"), sym(length)}, name); }
Spec tokens_spec() { return Spec(DType::i32, {sym("R")}, "tokens"); }
Spec position_spec() { return Spec(DType::i64, {}, "position"); }
Spec rows_spec() { return Spec(DType::i64, {sym("R")}, "rows"); }

Tensor keep_of(const Tensor& source) { return not_equal(source, 0); }

// States taken from `rows` of what they were.
void choose_rows(Tensors& in, size_t first_state, const Tensor& rows) {
  for (size_t i = first_state; i < in.size(); ++i) in[i] = gather(in[i], rows, 0);
}

// Adds decode_step and decode_rows. `step`(tokens, position, context, states) returns logits and puts the new
// states in place.
using Step = std::function<Tensor(const Tensor& tokens, const Tensor& position, const Tensors& context,
                                  Tensors& states)>;
void add_decoding(nn::Model& model, const std::vector<Spec>& context, const std::vector<Spec>& states,
                  const Step& step) {
  const size_t n = context.size();
  auto run = [n, step](const Tensors& in, size_t context_at) {
    const auto at = in.begin() + static_cast<std::ptrdiff_t>(context_at),
               middle = at + static_cast<std::ptrdiff_t>(n);
    Tensors next(middle, in.end());
    const Tensor logits = step(in[0], in[1], Tensors(at, middle), next);
    next.insert(next.begin(), log_softmax(logits, -1));
    return next;
  };
  std::vector<Spec> specs{tokens_spec(), position_spec()};
  specs.insert(specs.end(), context.begin(), context.end());
  specs.insert(specs.end(), states.begin(), states.end());
  model.add_entry(
      "decode_step", [run](const Tensors& in) { return run(in, 2); }, specs);

  specs.insert(specs.begin() + 2, rows_spec());
  for (size_t i = specs.size() - states.size(); i < specs.size(); ++i) specs[i].type.shape[0] = sym("Q");
  model.add_entry(
      "decode_rows",
      [run, n](const Tensors& in) {
        Tensors chosen = in;
        choose_rows(chosen, 3 + n, in[2]);
        return run(chosen, 3);
      },
      specs);
}

void add_nll(nn::Model& model, const nn::Model::Forward& forward) {
  model.add_entry(
      "nll",
      [forward](const Tensors& in) {
        return Tensors{
            cross_entropy(forward({in[0], in[1]}), in[2], {.ignore_index = 0, .reduction = "sum"})};
      },
      translation_specs());
}

nn::Model make_translator(const NetworkConfig& c, uint64_t seed) {
  auto net = std::make_shared<Translator>(
      TranslatorConfig{c.vocab, c.dim, c.heads, c.hidden, c.layers, c.dropout, c.length});
  net->initialise(seed);
  const nn::Model::Forward forward = [net](const Tensors& in) {
    return (*net)(in[0], keep_of(in[0]), in[1]);
  };
  nn::Model model(net, forward);
  model.add_entry("encode",
                  [net](const Tensors& in) {
                    const Tensor keep = keep_of(in[0]);
                    Tensors out{keep};
                    for (const KeyValue& cross : net->start(in[0], keep))
                      out.insert(out.end(), {cross.keys, cross.values});
                    return out;
                  },
                  {ids("source", "S")});

  std::vector<Spec> context{Spec(DType::boolean, {sym("R"), sym("S")}, "context.keep")}, states;
  for (int64_t i = 0; i < c.layers; ++i)
    for (const char* part : {"keys", "values"}) {
      const std::string name = std::to_string(i) + "." + part;
      context.emplace_back(DType::f32, Shape{sym("R"), c.heads, sym("S"), c.dim / c.heads},
                           "context." + name);
      states.emplace_back(DType::f32, Shape{sym("R"), c.heads, sym("C"), c.dim / c.heads}, "state." + name);
    }
  auto pairs = [](const Tensors& flat, size_t first) {
    std::vector<KeyValue> out;
    for (size_t i = first; i + 1 < flat.size(); i += 2) out.push_back({flat[i], flat[i + 1]});
    return out;
  };
  add_decoding(
      model, context, states,
      [net, pairs](const Tensor& tokens, const Tensor& position, const Tensors& fixed, Tensors& moving) {
        std::vector<KeyValue> caches = pairs(moving, 0);
        const Tensor logits = net->step(tokens, position, pairs(fixed, 1), fixed[0], caches);
        for (size_t i = 0; i < caches.size(); ++i)
          moving[2 * i] = caches[i].keys, moving[2 * i + 1] = caches[i].values;
        return logits;
      });
  add_nll(model, forward);
  model.add_entry("attention",
                  [net](const Tensors& in) { return Tensors{net->attention(in[0], keep_of(in[0]), in[1])}; },
                  {ids("source", "S"), ids("target", "T")});
  return model;
}

nn::Model make_gru(const NetworkConfig& c, uint64_t seed) {
  auto net = std::make_shared<GruTranslator>(GruTranslatorConfig{c.vocab, c.dim});
  net->initialise(seed);
  const nn::Model::Forward forward = [net](const Tensors& in) {
    return (*net)(in[0], in[1], keep_of(in[0]));
  };
  nn::Model model(net, forward);
  model.add_entry("encode",
                  [net](const Tensors& in) {
                    const GruTranslator::Encoded e = net->encode(in[0]);
                    return Tensors{keep_of(in[0]), e.memory, e.keys, e.state};
                  },
                  {ids("source", "S")});
  add_decoding(model,
               {Spec(DType::boolean, {sym("R"), sym("S")}, "context.keep"),
                Spec(DType::f32, {sym("R"), sym("S"), 2 * c.dim}, "context.memory"),
                Spec(DType::f32, {sym("R"), sym("S"), c.dim}, "context.keys")},
               {Spec(DType::f32, {sym("R"), c.dim}, "state.hidden")},
               [net](const Tensor& tokens, const Tensor&, const Tensors& fixed, Tensors& moving) {
                 return net->step(tokens, fixed[1], fixed[2], moving[0], fixed[0]);
               });
  add_nll(model, forward);
  model.add_entry("attention",
                  [net](const Tensors& in) {
                    const GruTranslator::Encoded e = net->encode(in[0]);
                    const Tensor keep = keep_of(in[0]);
                    auto body = [&](const Tensors& at) {
                      Tensor state = at[0], weights;
                      net->step(at[1], e.memory, e.keys, state, keep, &weights);
                      return Tensors{state, weights};
                    };
                    const Tensor weights =
                        transpose(scan(body, {e.state}, {transpose(in[1], 0, 1)})[1], 0, 1);  // [B, T, S]
                    return Tensors{unsqueeze(unsqueeze(weights, 1), 1)};
                  },
                  {ids("source", "S"), ids("target", "T")});
  return model;
}

}  // namespace

std::string NetworkConfig::str() const {
  nlohmann::ordered_json j{{"kind", kind}, {"vocab", vocab}, {"dim", dim}};
  if (kind == "translator")
    j.update(
        {{"heads", heads}, {"hidden", hidden}, {"layers", layers}, {"dropout", dropout}, {"length", length}});
  return j.dump();
}

std::vector<Spec> translation_specs() { return {ids("source", "S"), ids("target", "T"), ids("labels", "T")}; }

nn::Model make_network(const NetworkConfig& config, uint64_t seed) {
  if (config.kind == "translator") return make_translator(config, seed);
  if (config.kind == "gru-translator") return make_gru(config, seed);
  invalid("there is no network '" + config.kind + "' that translates; there are: translator, gru-translator");
}

}  // namespace fovea::models
