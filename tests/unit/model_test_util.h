// What the tests of models and of the training loop share: small networks, data, comparisons.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "framework/base/file.h"
#include "frontends/nn/layers.h"
#include "frontends/nn/model.h"
#include "generated/ops.h"
#include "tests/support/folder_fixture.h"
#include "tests/unit/nn_test_util.h"

namespace fovea::nn {

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

inline void expect_equal_bits(const Array& a, const Array& b, const std::string& what = "") {
  ASSERT_EQ(a.dtype(), b.dtype()) << what;
  ASSERT_EQ(a.shape(), b.shape()) << what;
  EXPECT_EQ(std::memcmp(a.contiguous().raw(), b.contiguous().raw(), static_cast<size_t>(a.nbytes())), 0)
      << what;
}

inline std::vector<Array> copies_of(const Model& model) {
  std::vector<Array> out;
  for (const NamedParameter& p : model.module().parameters()) out.push_back(p.parameter.value().copy());
  return out;
}

inline void expect_equal_parameters(const std::vector<Array>& a, const std::vector<Array>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) expect_equal_bits(a[i], b[i], "parameter " + std::to_string(i));
}

inline double metric(const std::vector<Metric>& values, const std::string& name) {
  for (const Metric& m : values)
    if (m.name == name) return m.value;
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

// 3 classes of points around 3 centres.
inline Dataset classes(int64_t count, uint64_t seed) {
  const Array noise = test::normal({count, 4}, seed), label = test::ids({count}, seed + 1, 3);
  Array x(DType::f32, {count, 4});
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < 4; ++d)
      x.data<float>()[i * 4 + d] =
          static_cast<float>(0.3 * noise.get_flat(i * 4 + d) + (label.data<int64_t>()[i] == d ? 2 : 0));
  return Dataset(x, label);
}

inline Recipe recipe() {
  return {.optimizer = Adam{.lr = 0.01},
          .loss = losses::cross_entropy,
          .metrics = {metrics::accuracy},
          .seed = 11};
}

}  // namespace fovea::nn
