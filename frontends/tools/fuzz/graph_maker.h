// A random graph while it grows, and the sources of its nodes.
#pragma once

#include <algorithm>
#include <vector>

#include "frontends/cpp/fovea.h"
#include "frontends/tools/fuzz/cases.h"
#include "graph/build/builder.h"

namespace fovea::tools {

inline Dims dims_of(const Tensor& x) { return evaluate(x.shape(), {}); }
inline int64_t elements(const Tensor& x) { return product(dims_of(x)); }

/// A value and a bound of its magnitude.
struct Known {
  Tensor x;
  double bound;
};

/// What sources draw from and add to.
class GraphMaker {
 public:
  GraphMaker(Random& r, FuzzCase& f);

  Dims random_shape();
  const Known& pick();
  template <class F>
  const Known* pick_where(F&& wanted) {
    for (int tries = 0; tries < 6; ++tries)
      if (const Known& k = pick(); wanted(k.x)) return &k;
    return nullptr;
  }
  const Known* numeric();
  const Known* real();
  const Known* boolean();
  /// Adds a value, but for one that may be too large to be exact.
  void keep(const Tensor& x, double bound);
  /// The shape of x with a few axes 1 or left out: it broadcasts against x.
  Dims narrower(const Tensor& x);
  Tensor number(const Tensor& beside, double value);
  /// A partner for x: of its type, broadcasting against it.
  Known partner(const Known& k);
  Tensor constant(DType dtype, const Dims& shape);
  int64_t some_axis(const Tensor& x) { return random.below(x.rank()); }
  Ints some_order(int64_t rank);

  Random& random;
  FuzzCase& fuzz;
  DType floating = DType::f32;
  std::shared_ptr<Builder> builder;
  std::vector<Known> pool;
  std::vector<Tensor> losses;  ///< results that are not whole

 private:
  void argument(DType dtype, const Dims& shape);
  void step();
  void finish();
};

constexpr int64_t kMostElements = 96;

/// Adds a few nodes, or none where nothing fits.
using GraphSource = void (*)(GraphMaker&);

const std::vector<GraphSource>& number_sources();
/// Those of them that meet special numbers most.
const std::vector<GraphSource>& special_sources();
const std::vector<GraphSource>& view_sources();
/// Random numbers, functions, loops, branches and layers: dear, so they come seldom.
const std::vector<GraphSource>& layer_sources();

}  // namespace fovea::tools
