// Converters of ONNX ops that networks are made of: convolutions, pooling, resizing, attention, recurrent
// cells, quantised products. Expected values come from plain loops in double.
#include "tests/unit/onnx_ops_test_util.h"

namespace fovea {
namespace {

using namespace test;  // NOLINT: the writer's vocabulary
using OnnxNetworkOps = OnnxOps;

// --- windows over three axes

struct Volume {
  Dims stride{2, 1, 1}, dilation{1, 2, 1}, low{1, 0, 2}, high{0, 1, 1};
  std::vector<Message> attributes() const {
    return {ints_attribute("strides", stride), ints_attribute("dilations", dilation),
            ints_attribute("pads", {low[0], low[1], low[2], high[0], high[1], high[2]})};
  }
  int64_t size(int d, int64_t n, int64_t k) const {
    const auto i = static_cast<size_t>(d);
    return (n + low[i] + high[i] - dilation[i] * (k - 1) - 1) / stride[i] + 1;
  }
};

TEST_F(OnnxNetworkOps, ConvolvesVolumesInGroups) {
  const Volume w;
  const Array x = random_array({2, 4, 5, 6, 3}, 18, DType::f64),
              k = random_array({6, 2, 2, 3, 2}, 19, DType::f64), bias = random_array({6}, 20, DType::f64);
  Dims shape{2, 6};
  for (int d = 0; d < 3; ++d) shape.push_back(w.size(d, x.dim(2 + d), k.dim(2 + d)));
  const Array want = filled(shape, [&](const Dims& o) {
    double sum = bias.get_flat(o[1]);
    each_index({2, 2, 3, 2}, [&](const Dims& t, int64_t) {
      Dims at{o[0], o[1] / 3 * 2 + t[0]};
      for (size_t d = 0; d < 3; ++d) {
        at.push_back(o[2 + d] * w.stride[d] + t[1 + d] * w.dilation[d] - w.low[d]);
        if (at.back() < 0 || at.back() >= x.dim(static_cast<int64_t>(2 + d))) return;
      }
      sum += element(x, at) * element(k, {o[1], t[0], t[1], t[2], t[3]});
    });
    return sum;
  });
  auto attributes = w.attributes();
  attributes.push_back(int_attribute("group", 2));
  expect_close(run({"Conv", {x, k, bias}, attributes})[0], want, 1e-12);
}

TEST_F(OnnxNetworkOps, TransposedVolumesAreTheAdjoint) {
  const Volume w;
  const Array x = random_array({1, 4, 3, 4, 5}, 21, DType::f64),
              k = random_array({4, 3, 2, 3, 2}, 22, DType::f64);
  const Dims extra{1, 0, 0};
  Dims shape{1, 6};
  for (size_t d = 0; d < 3; ++d)
    shape.push_back((x.shape()[2 + d] - 1) * w.stride[d] + w.dilation[d] * (k.shape()[2 + d] - 1) + 1 -
                    w.low[d] - w.high[d] + extra[d]);
  Array want = Array::zeros(DType::f64, shape);
  each_index(x.shape(), [&](const Dims& i, int64_t) {
    each_index({3, 2, 3, 2}, [&](const Dims& t, int64_t) {
      Dims at{0, i[1] / 2 * 3 + t[0]};
      for (size_t d = 0; d < 3; ++d) {
        at.push_back(i[2 + d] * w.stride[d] + t[1 + d] * w.dilation[d] - w.low[d]);
        if (at.back() < 0 || at.back() >= shape[2 + d]) return;
      }
      const int64_t place = flat(shape, at);
      want.set_flat(place, want.get_flat(place) + element(x, i) * element(k, {i[1], t[0], t[1], t[2], t[3]}));
    });
  });
  auto attributes = w.attributes();
  attributes.push_back(int_attribute("group", 2));
  attributes.push_back(ints_attribute("output_padding", extra));
  expect_close(run({"ConvTranspose", {x, k}, attributes})[0], want, 1e-12);
}

TEST_F(OnnxNetworkOps, PoolsVolumesAndSaysWhere) {
  const Volume w;
  const Array x = random_array({2, 3, 5, 6, 4}, 23, DType::f64);
  const Dims kernel{2, 2, 3};
  Dims shape{2, 3};
  for (int d = 0; d < 3; ++d) shape.push_back(w.size(d, x.dim(2 + d), kernel[static_cast<size_t>(d)]));
  Array place(DType::i64, shape), mean(DType::f64, shape);
  const Array best = filled(shape, [&](const Dims& o) {
    double most = -kInf, sum = 0, count = 0;
    each_index(kernel, [&](const Dims& t, int64_t) {
      Dims at{o[0], o[1]};
      for (size_t d = 0; d < 3; ++d) {
        at.push_back(o[2 + d] * w.stride[d] + t[d] * w.dilation[d] - w.low[d]);
        if (at.back() < 0 || at.back() >= x.shape()[2 + d]) return;
      }
      ++count;
      sum += element(x, at);
      if (element(x, at) <= most) return;
      most = element(x, at);
      place.set_flat(flat(shape, o), static_cast<double>(flat(x.shape(), at)));
    });
    mean.set_flat(flat(shape, o), sum / count);
    return most;
  });
  auto attributes = w.attributes();
  attributes.push_back(ints_attribute("kernel_shape", kernel));
  const auto got = run({"MaxPool", {x}, attributes, 18, {}, {}, 2});
  expect_close(got[0], best, 0);
  EXPECT_EQ(got[1].to_vector<int64_t>(), place.to_vector<int64_t>());
  expect_close(run({"AveragePool", {x}, attributes, 19})[0], mean, 1e-12);
}

TEST_F(OnnxNetworkOps, EinsumTakesDiagonals) {
  const Array x = random_array({2, 3, 4, 3}, 24, DType::f64), y = random_array({3, 4}, 25, DType::f64);
  const Array want = filled({2, 4}, [&](const Dims& i) {
    double sum = 0;
    for (int64_t d = 0; d < 3; ++d) sum += element(x, {i[0], d, i[1], d}) * element(y, {d, i[1]});
    return sum;
  });
  expect_close(run({"Einsum", {x, y}, {text_attribute("equation", "bdcd, dc -> bc")}})[0], want, 1e-12);
}

// --- attention

struct Heads {
  int64_t batch = 2, heads = 4, kv_heads = 4, lq = 3, lk = 5, d = 6, e = 4, past = 0;
  bool causal = false;
  double scale = 0, cap = 0;
  std::function<double(const Dims&)> bias = [](const Dims&) { return 0.0; };  // of (b, h, i, j)
};

// Attention as loops: a query without any key gives zeros.
Array attention_loops(const Heads& s, const Array& q, const Array& k, const Array& v) {
  const double scale = s.scale > 0 ? s.scale : 1 / std::sqrt(static_cast<double>(s.d));
  return filled({s.batch, s.heads, s.lq, s.e}, [&](const Dims& o) {
    const int64_t group = o[1] / (s.heads / s.kv_heads);
    std::vector<double> score(static_cast<size_t>(s.lk));
    double most = -kInf, sum = 0, y = 0;
    for (int64_t j = 0; j < s.lk; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < s.d; ++d)
        dot += element(q, {o[0], o[1], o[2], d}) * element(k, {o[0], group, j, d});
      dot *= scale;
      if (s.cap > 0) dot = s.cap * std::tanh(dot / s.cap);
      dot += s.bias({o[0], o[1], o[2], j});
      if (s.causal && j > o[2] + s.past) dot = -kInf;
      score[static_cast<size_t>(j)] = dot;
      most = std::max(most, dot);
    }
    if (most == -kInf) return 0.0;
    for (int64_t j = 0; j < s.lk; ++j) {
      const double p = std::exp(score[static_cast<size_t>(j)] - most);
      sum += p;
      y += p * element(v, {o[0], group, j, o[3]});
    }
    return y / sum;
  });
}

TEST_F(OnnxNetworkOps, AttentionWithGroupsCapAndCausalMask) {
  Heads s{.kv_heads = 2, .causal = true, .scale = 0.3, .cap = 2};
  const Array q = random_array({2, 4, 3, 6}, 30, DType::f64, -3, 3),
              k = random_array({2, 2, 5, 6}, 31, DType::f64, -3, 3),
              v = random_array({2, 2, 5, 4}, 32, DType::f64);
  const OneNode n{
      "Attention",
      {q, k, v},
      {int_attribute("is_causal", 1), float_attribute("scale", 0.3F), float_attribute("softcap", 2)},
      23};
  s.scale = 0.3F;
  expect_close(run(n)[0], attention_loops(s, q, k, v), 1e-12);
}

TEST_F(OnnxNetworkOps, AttentionMasksAndRowsWithoutKeys) {
  Heads s;
  const Array q = random_array({2, 4, 3, 6}, 33, DType::f64), k = random_array({2, 4, 5, 6}, 34, DType::f64),
              v = random_array({2, 4, 5, 4}, 35, DType::f64);
  Array mask = random_array({2, 1, 3, 5}, 36, DType::f64);
  const Array bias = mask.copy();
  Array allowed(DType::boolean, {2, 1, 3, 5});
  for (int64_t i = 0; i < mask.size(); ++i) allowed.set_flat(i, mask.get_flat(i) > 0 && (i < 5 || i >= 10));
  s.bias = [&](const Dims& i) { return element(allowed, {i[0], 0, i[2], i[3]}) != 0 ? 0.0 : -kInf; };
  expect_close(run({"Attention", {q, k, v, allowed}, {}, 23})[0], attention_loops(s, q, k, v), 1e-12);
  s.bias = [&](const Dims& i) { return element(bias, {i[0], 0, i[2], i[3]}); };
  expect_close(run({"Attention", {q, k, v, bias}, {}, 23})[0], attention_loops(s, q, k, v), 1e-12);
}

TEST_F(OnnxNetworkOps, AttentionGrowsItsCacheAtAnyLength) {
  const std::vector<std::vector<std::string>> dims{
      {"B", "L", "24"}, {"B", "L", "12"}, {"B", "L", "8"}, {}, {"B", "2", "P", "6"}, {"B", "2", "P", "4"}};
  for (const auto& [batch, length, past] : {std::tuple{1, 1, 4}, {2, 3, 2}, {3, 2, 0}}) {
    Heads s{.batch = batch,
            .heads = 4,
            .kv_heads = 2,
            .lq = length,
            .lk = past + length,
            .past = past,
            .causal = true};
    const Array q = random_array({batch, length, 24}, 40, DType::f64),
                k = random_array({batch, length, 12}, 41, DType::f64),
                v = random_array({batch, length, 8}, 42, DType::f64);
    const Array old_k = random_array({batch, 2, past, 6}, 43, DType::f64),
                old_v = random_array({batch, 2, past, 4}, 44, DType::f64);
    const OneNode n{
        "Attention",
        {q, k, v, {}, old_k, old_v},
        {int_attribute("is_causal", 1), int_attribute("q_num_heads", 4), int_attribute("kv_num_heads", 2)},
        23,
        {},
        dims,
        3};
    const auto got = run(n);
    const auto grown = [&](const Array& old, const Array& fresh, int64_t size) {
      return filled({batch, 2, past + length, size}, [&](const Dims& i) {
        return i[2] < past ? element(old, i) : element(fresh, {i[0], i[2] - past, i[1] * size + i[3]});
      });
    };
    const Array keys = grown(old_k, k, 6), values = grown(old_v, v, 4);
    expect_close(got[1], keys, 0);
    expect_close(got[2], values, 0);
    const Array heads = filled({batch, 4, length, 6}, [&](const Dims& i) {
      return element(q, {i[0], i[2], i[1] * 6 + i[3]});
    });
    const Array y = attention_loops(s, heads, keys, values);
    expect_close(got[0],
                 filled({batch, length, 16},
                        [&](const Dims& i) {
                          return element(y, {i[0], i[2] / 4, i[1], i[2] % 4});
                        }),
                 1e-12);
  }
}

TEST_F(OnnxNetworkOps, AttentionIsMadeOfPlainOperations) {
  const Array x = random_array({1, 2, 3, 4}, 45);
  const auto module = read({"Attention", {x, x, x}, {}, 23});
  int products = 0, softmaxes = 0;
  for (const Node& n : module->function("main").nodes) {
    products += n.op->name() == "matmul";
    softmaxes += n.op->name() == "softmax";
    EXPECT_NE(n.op->name(), "attention");
  }
  EXPECT_EQ(products, 2);
  EXPECT_EQ(softmaxes, 1);
}

TEST_F(OnnxNetworkOps, RotatesPositions) {
  const Array x = random_array({2, 2, 3, 6}, 46, DType::f64);  // of 6 channels 4 turn
  const Array cosine = random_array({8, 2}, 47, DType::f64), sine = random_array({8, 2}, 48, DType::f64);
  const Array at = Array::of<int64_t>({0, 1, 2, 5, 6, 7}, {2, 3});
  for (const bool pairs : {false, true}) {
    const Array want = filled({2, 2, 3, 6}, [&](const Dims& i) {
      if (i[3] >= 4) return element(x, i);
      const int64_t angle = pairs ? i[3] / 2 : i[3] % 2;
      const bool first = pairs ? i[3] % 2 == 0 : i[3] < 2;
      const int64_t a = pairs ? 2 * angle : angle, b = pairs ? 2 * angle + 1 : angle + 2;
      const auto place = static_cast<int64_t>(element(at, {i[0], i[2]}));
      const double c = element(cosine, {place, angle}), s = element(sine, {place, angle});
      const double p = element(x, {i[0], i[1], i[2], a}), q = element(x, {i[0], i[1], i[2], b});
      return first ? p * c - q * s : p * s + q * c;
    });
    const OneNode n{"RotaryEmbedding",
                    {x, cosine, sine, at},
                    {int_attribute("interleaved", pairs), int_attribute("rotary_embedding_dim", 4)},
                    23};
    expect_close(run(n)[0], want, 1e-12);
  }
}

// --- pictures

TEST_F(OnnxNetworkOps, ResizesByLinearAndCubicWeights) {
  const Array x = random_array({1, 2, 4, 6}, 60, DType::f64);
  const Array none, sizes = Array::of<int64_t>({1, 2, 7, 3}, {4});
  for (const std::string mode : {"linear", "cubic"}) {
    const auto along = [&](int64_t in, int64_t out, int64_t i, auto read) {
      const double at =
          (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
      double sum = 0;
      for (int64_t j = -3; j < in + 3; ++j) {
        const double d = std::abs(static_cast<double>(j) - at);
        const double cubic = d <= 1  ? 1.25 * d * d * d - 2.25 * d * d + 1
                             : d < 2 ? -0.75 * (d * d * d - 5 * d * d + 8 * d - 4)
                                     : 0;
        sum += (mode == "linear" ? std::max(0.0, 1 - d) : cubic) * read(std::clamp<int64_t>(j, 0, in - 1));
      }
      return sum;
    };
    const Array want = filled({1, 2, 7, 3}, [&](const Dims& o) {
      return along(4, 7, o[2], [&](int64_t row) {
        return along(6, 3, o[3], [&](int64_t column) { return element(x, {o[0], o[1], row, column}); });
      });
    });
    const OneNode n{"Resize", {x, none, none, sizes}, {text_attribute("mode", mode)}, 18, {3}};
    expect_close(run(n)[0], want, 1e-12);
  }
}

TEST_F(OnnxNetworkOps, UpsamplesWholeElements) {
  const Array x = random_array({1, 1, 2, 3}, 61);
  const Array scales = Array::of<float>({1, 1, 2, 3}, {4});
  const Array want = filled({1, 1, 4, 9}, [&](const Dims& o) {
    return element(x, {0, 0, o[2] / 2, o[3] / 3});
  });
  expect_close(run({"Resize",
                    {x, {}, scales},
                    {text_attribute("coordinate_transformation_mode", "asymmetric"),
                     text_attribute("nearest_mode", "floor")},
                    13,
                    {2}})[0],
               want, 0);
  expect_close(run({"Resize", {x, {}, scales}, {}, 13, {2}})[0], want, 0);
  expect_close(run({"Upsample", {x, scales}, {}, 9, {1}})[0], want, 0);
}

TEST_F(OnnxNetworkOps, SamplesAGridWithMirroredEdges) {
  const Array x = random_array({2, 3, 4, 5}, 62, DType::f64),
              grid = random_array({2, 3, 2, 2}, 63, DType::f64, -2, 2);
  const auto mirrored = [](int64_t i, int64_t n) {
    for (; i < 0 || i >= n;) i = i < 0 ? -1 - i : 2 * n - 1 - i;
    return i;
  };
  const Array want = filled({2, 3, 3, 2}, [&](const Dims& o) {
    const double px = ((element(grid, {o[0], o[2], o[3], 0}) + 1) * 5 - 1) / 2;
    const double py = ((element(grid, {o[0], o[2], o[3], 1}) + 1) * 4 - 1) / 2;
    double sum = 0;
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 2; ++j) {
        const double fy = std::floor(py) + static_cast<double>(i),
                     fx = std::floor(px) + static_cast<double>(j);
        sum += (1 - std::abs(py - fy)) * (1 - std::abs(px - fx)) *
               element(x, {o[0], o[1], mirrored(static_cast<int64_t>(fy), 4),
                           mirrored(static_cast<int64_t>(fx), 5)});
      }
    return sum;
  });
  const OneNode n{"GridSample",
                  {x, grid},
                  {text_attribute("mode", "linear"), text_attribute("padding_mode", "reflection")},
                  20};
  expect_close(run(n)[0], want, 1e-12);
}

// --- recurrent cells

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

TEST_F(OnnxNetworkOps, LstmRunsBothWaysOverSequencesOfTheirOwnLengths) {
  const int64_t steps = 4, batch = 2, in = 3, hidden = 2;
  const Array x = random_array({steps, batch, in}, 64, DType::f64),
              w = random_array({2, 8, in}, 65, DType::f64), r = random_array({2, 8, hidden}, 66, DType::f64),
              b = random_array({2, 16}, 67, DType::f64),
              h0 = random_array({2, batch, hidden}, 68, DType::f64),
              c0 = random_array({2, batch, hidden}, 69, DType::f64);
  const Array lengths = Array::of<int32_t>({4, 2}, {2});
  Array y = Array::zeros(DType::f64, {steps, 2, batch, hidden}), last(DType::f64, {2, batch, hidden}),
        cells(DType::f64, {2, batch, hidden});
  for (int64_t d = 0; d < 2; ++d)
    for (int64_t n = 0; n < batch; ++n) {
      std::vector<double> h, c;
      for (int64_t k = 0; k < hidden; ++k)
        h.push_back(element(h0, {d, n, k})), c.push_back(element(c0, {d, n, k}));
      const auto length = static_cast<int64_t>(lengths.get_flat(n));
      for (int64_t s = 0; s < length; ++s) {
        const int64_t t = d == 0 ? s : length - 1 - s;
        std::vector<double> g;
        for (int64_t row = 0; row < 8; ++row) {
          double sum = element(b, {d, row}) + element(b, {d, 8 + row});
          for (int64_t i = 0; i < in; ++i) sum += element(x, {t, n, i}) * element(w, {d, row, i});
          for (int64_t i = 0; i < hidden; ++i) sum += h[static_cast<size_t>(i)] * element(r, {d, row, i});
          g.push_back(sum);
        }
        for (size_t k = 0; k < 2; ++k) {  // gates stand in the order i, o, f, c
          c[k] = logistic(g[4 + k]) * c[k] + logistic(g[k]) * std::tanh(g[6 + k]);
          h[k] = logistic(g[2 + k]) * std::tanh(c[k]);
          y.set_flat(flat(y.shape(), {t, d, n, static_cast<int64_t>(k)}), h[k]);
        }
      }
      for (int64_t k = 0; k < hidden; ++k) {
        last.set_flat(flat(last.shape(), {d, n, k}), h[static_cast<size_t>(k)]);
        cells.set_flat(flat(last.shape(), {d, n, k}), c[static_cast<size_t>(k)]);
      }
    }
  const OneNode n{"LSTM",
                  {x, w, r, b, lengths, h0, c0},
                  {text_attribute("direction", "bidirectional"), int_attribute("hidden_size", hidden)},
                  14,
                  {},
                  {{"T", "N", "3"},
                   {"2", "8", "3"},
                   {"2", "8", "2"},
                   {"2", "16"},
                   {"N"},
                   {"2", "N", "2"},
                   {"2", "N", "2"}},
                  3};
  const auto got = run(n);
  expect_close(got[0], y, 1e-12);
  expect_close(got[1], last, 1e-12);
  expect_close(got[2], cells, 1e-12);
}

TEST_F(OnnxNetworkOps, GruAppliesItsResetGateBeforeOrBehindTheProduct) {
  const Array x = random_array({3, 1, 2}, 70, DType::f64), w = random_array({1, 6, 2}, 71, DType::f64),
              r = random_array({1, 6, 2}, 72, DType::f64), b = random_array({1, 12}, 73, DType::f64);
  for (const bool late : {false, true}) {
    std::vector<double> h{0, 0};
    for (int64_t t = 0; t < 3; ++t) {
      const auto from_x = [&](int64_t row) {
        return element(b, {0, row}) + element(x, {t, 0, 0}) * element(w, {0, row, 0}) +
               element(x, {t, 0, 1}) * element(w, {0, row, 1});
      };
      const auto from_h = [&](int64_t row, double p, double q) {
        return element(b, {0, 6 + row}) + p * element(r, {0, row, 0}) + q * element(r, {0, row, 1});
      };
      double z[2], reset[2], fresh[2];
      for (int64_t k = 0; k < 2; ++k) {
        z[k] = logistic(from_x(k) + from_h(k, h[0], h[1]));
        reset[k] = logistic(from_x(2 + k) + from_h(2 + k, h[0], h[1]));
      }
      for (int64_t k = 0; k < 2; ++k)
        fresh[k] = std::tanh(from_x(4 + k) + (late ? reset[k] * from_h(4 + k, h[0], h[1])
                                                   : from_h(4 + k, reset[0] * h[0], reset[1] * h[1])));
      for (size_t k = 0; k < 2; ++k) h[k] = (1 - z[k]) * fresh[k] + z[k] * h[k];
    }
    const auto got = run({"GRU", {x, w, r, b}, {int_attribute("linear_before_reset", late)}, 14, {}, {}, 2});
    expect_close(got[1], Array::of(h, {1, 1, 2}), 1e-12);
  }
}

// --- quantised numbers

TEST_F(OnnxNetworkOps, QuantisedProductsAreExact) {
  const Array a = random_array({5, 70}, 74, DType::u8, 0, 256),
              b = random_array({70, 4}, 75, DType::i8, -128, 128);
  const Array za = Array::scalar<uint8_t>(131), zb = Array::of<int8_t>({-3, 0, 7, 100}, {4});
  const Array want = filled({5, 4}, [&](const Dims& i) {
    double sum = 0;
    for (int64_t k = 0; k < 70; ++k)
      sum += (element(a, {i[0], k}) - 131) * (element(b, {k, i[1]}) - zb.get_flat(i[1]));
    return sum;
  });
  const Array got = run({"MatMulInteger", {a, b, za, zb}, {}, 10})[0];
  EXPECT_EQ(got.dtype(), DType::i32);
  expect_close(got, want, 0);
}

TEST_F(OnnxNetworkOps, QuantisingSaturatesAndRoundsToEven) {
  const Array x = Array::of<float>({0.5F, 1.5F, -2.5F, 300, -300}, {5});
  const Array scale = Array::scalar(1.0F), zero = Array::scalar<int8_t>(3);
  EXPECT_EQ(run({"QuantizeLinear", {x, scale, zero}, {}, 13})[0].to_vector<int64_t>(),
            (std::vector<int64_t>{3, 5, 1, 127, -128}));
  const Array back =
      run({"DequantizeLinear", {Array::of<int8_t>({3, 5, -128}, {3}), Array::scalar(0.5F), zero}, {}, 13})[0];
  EXPECT_EQ(back.to_vector<double>(), (std::vector<double>{0, 1, -65.5}));
}

TEST_F(OnnxNetworkOps, CachesAreWrittenAtEachSamplesPlace) {
  const Array cache = random_array({2, 1, 5, 3}, 76), updates = random_array({2, 1, 2, 3}, 77);
  const Array at = Array::of<int64_t>({1, 4}, {2});
  const auto want = [&](bool round) {
    return filled({2, 1, 5, 3}, [&](const Dims& i) {
      const int64_t first = static_cast<int64_t>(at.get_flat(i[0]));
      for (int64_t u = 0; u < 2; ++u)
        if ((round ? (first + u) % 5 : first + u) == i[2]) return element(updates, {i[0], 0, u, i[3]});
      return element(cache, i);
    });
  };
  expect_close(run({"TensorScatter", {cache, updates, at}, {text_attribute("mode", "circular")}, 24})[0],
               want(true), 0);
  const Array inside = Array::of<int64_t>({1, 3}, {2});
  Array linear = run({"TensorScatter", {cache, updates, inside}, {}, 24})[0];
  expect_close(linear.slice(0, 0, 1).contiguous(), want(true).slice(0, 0, 1).contiguous(), 0);
}

}  // namespace
}  // namespace fovea
