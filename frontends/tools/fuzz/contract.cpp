#include "frontends/tools/fuzz/contract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "framework/base/error.h"
#include "frontends/tools/fuzz/mutate.h"
#include "graph/ir/op.h"
#include "optim/lower/program.h"

namespace fovea::tools {
namespace {

constexpr size_t kSamples = 24;
constexpr double kMove = 0.01, kFar = 0.1;
constexpr double kNoDigit = 0.1;
// What may cancel to nothing, in some orders of summing exactly. Gradients of scores are differences of sums
// of up to four products of cotangents and values, each below 1.5; with what lies behind queries and keys
// they grow as the other gradients of the case do. Disturbed probabilities may be differences of equal ones.
constexpr double kCancelledGradients = 9, kCancelledValues = 1.5;

// The largest and the root mean square error where the exact result is finite, and that of the untouched
// operations is (where these overflow, what is fused need not).
struct Errors {
  double most = 0, square = 0, largest = 0;
  bool lost = false;  // somewhere it is not finite itself
};
Errors errors_of(const Array& got, const Array& exact, const Array& untouched) {
  Errors e;
  double squares = 0;
  int64_t count = 0;
  const Array a = got.contiguous(), b = exact.contiguous(), c = untouched.contiguous();
  for (int64_t i = 0; i < b.size(); ++i) {
    const double x = a.get_flat(i), y = b.get_flat(i);
    if (!std::isfinite(y) || !std::isfinite(c.get_flat(i))) continue;
    e.lost = e.lost || !std::isfinite(x);
    const double d = std::isfinite(x) ? std::abs(x - y) : 0;
    e.most = std::max(e.most, d);
    e.largest = std::max(e.largest, std::abs(y));
    squares += d * d;
    ++count;
  }
  e.square = count ? std::sqrt(squares / static_cast<double>(count)) : 0;
  return e;
}

double unit_of(DType type) {
  if (type == DType::f64) return 0x1p-40;  // the exact results are in f64 themselves
  return type == DType::f16 ? 0x1p-10 : type == DType::bf16 ? 0x1p-7 : 0x1p-23;
}
// Of the coarsest type that the user's operations compute in.
double coarsest_unit(const Graph& graph) {
  double unit = 0;
  for (const Node& n : graph.nodes)
    for (const TensorType& t : n.outputs)
      if (is_floating(t.dtype)) unit = std::max(unit, unit_of(t.dtype));
  return unit;
}

bool within(const Errors& mine, const Errors& theirs, double cancelled, double unit) {
  const double ulps = 4 * unit * std::max(mine.largest, cancelled);
  return !mine.lost && mine.most <= 2 * theirs.most + ulps && mine.square <= 2 * theirs.square + ulps;
}

// Each number moved by at most as much, of itself where it is small: scores that all carry a mask's -1e4 stay
// close together, and so does what rounding to its grid leaves of them.
Array moved(const Array& x, Random& random, double most) {
  if (!is_floating(x.dtype())) return x;
  Array y = x.copy();
  for (int64_t i = 0; i < y.size(); ++i) {
    const double at = y.get_flat(i);
    y.set_flat(i, at + std::min(1.0, std::abs(at)) * random.real(-most, most));
  }
  return y;
}

// In f64, each number moved by at most the rounding of its own type.
Array nudged(const Array& x, Random& random) {
  if (!is_floating(x.dtype())) return x;
  const double unit = unit_of(x.dtype());
  Array y = x.cast(DType::f64);
  for (int64_t i = 0; i < y.size(); ++i) y.set_flat(i, y.get_flat(i) * (1 + random.real(-unit, unit)));
  return y;
}

Array negated(const Array& x) {
  Array y = x.copy();
  for (int64_t i = 0; i < y.size(); ++i) y.set_flat(i, -y.get_flat(i));
  return y;
}

bool becomes_infinite(const Array& from, const Array& to) {
  const Array a = from.contiguous(), b = to.contiguous();
  for (int64_t i = 0; i < a.size(); ++i)
    if (std::isfinite(a.get_flat(i)) && !std::isfinite(b.get_flat(i))) return true;
  return false;
}

}  // namespace

Outcome run(const std::shared_ptr<Module>& module, const std::string& function, const std::vector<Array>& in,
            const char* backend, bool optimise, bool strict) {
  CompileOptions options;
  options.backend = backend;
  options.optimise = optimise;
  options.numerics = strict ? "strict" : "default";
  try {
    return {Program(module, function, options).run(in), ""};
  } catch (const Error& e) {
    return {{}, e.what()};
  }
}

std::vector<Array> widened(const std::vector<Array>& arguments) {
  std::vector<Array> wide;
  for (const Array& a : arguments) wide.push_back(is_floating(a.dtype()) ? a.cast(DType::f64) : a);
  return wide;
}

const Contract::Run& Contract::sample(size_t n) {
  while (samples_.size() <= n) {
    Run r;
    std::vector<Array> in;
    Random random(samples_.size());
    // Close by such a grid rounds them as it did before; the second half is moved beyond it.
    const double most = samples_.size() < kSamples / 2 ? kMove : kFar;
    for (const Array& a : fuzz_.arguments) in.push_back(samples_.empty() ? a : moved(a, random, most));
    // What cancels between the gradients of several results does not for their cotangents' other signs.
    for (size_t a = fuzz_.module->function("main").inputs.size(); a < in.size() && !samples_.empty(); ++a)
      if (random.one_in(2)) in[a] = negated(in[a]);
    r.exact = samples_.empty() ? exact_
                               : run(widened(*fuzz_.module), function_, widened(in), "reference", false).out;
    r.untouched = run(fuzz_.module, function_, in, "cpu", false).out;
    samples_.push_back(std::move(r));
  }
  return samples_[n];
}

// True where some exponential of a finite number is infinite even in f64: a guard against
// NaN may hide that, and what is fused subtracts the row's maximum.
bool Contract::overflows() {
  if (overflows_ >= 0) return overflows_ != 0;
  overflows_ = 0;
  auto module = std::make_shared<Module>(*widened(*fuzz_.module));
  auto probe = std::make_shared<Graph>(module->function("main"));
  probe->outputs.clear();
  for (size_t id = 0; id < probe->nodes.size(); ++id) {
    const Node& n = probe->nodes[id];
    if (n.op->name() == "exp")
      probe->outputs.insert(probe->outputs.end(), {n.inputs[0], Value{static_cast<NodeId>(id), 0}});
  }
  if (probe->outputs.empty()) return false;
  probe->output_names.assign(probe->outputs.size(), "");
  module->functions = {{"main", probe}};
  std::vector<Array> in(fuzz_.arguments.begin(),
                        fuzz_.arguments.begin() + static_cast<std::ptrdiff_t>(probe->inputs.size()));
  const std::vector<Array> out = run(module, "main", widened(in), "reference", false).out;
  for (size_t i = 0; i + 1 < out.size(); i += 2)
    if (becomes_infinite(out[i], out[i + 1])) overflows_ = 1;
  return overflows_ != 0;
}

// True where what got lost are numbers of which the untouched operations know no digit: they divide what is 0
// but for rounding.
bool Contract::lost_noise(const Array& got, size_t i) {
  const Array mine = got.contiguous();
  std::vector<bool> noise(static_cast<size_t>(mine.size()), false);
  for (size_t n = 0; n < kSamples; ++n) {
    const Run& r = sample(n);
    const Array exact = r.exact[i].contiguous(), untouched = r.untouched[i].contiguous();
    for (int64_t k = 0; k < mine.size(); ++k) {
      const double y = exact.get_flat(k), d = std::abs(untouched.get_flat(k) - y);
      if (!(d <= kNoDigit * std::abs(y))) noise[static_cast<size_t>(k)] = true;
    }
  }
  for (int64_t k = 0; k < mine.size(); ++k)
    if (!std::isfinite(mine.get_flat(k)) && !noise[static_cast<size_t>(k)]) return false;
  return true;
}

// True where a result of the function is a number, which untouched it is not: exp(-1e4) / exp(-1e4).
// Gradients that pass there are others, or none, as behind relu.
bool Contract::mends_results(const std::vector<Array>& got) {
  const Run& own = sample(0);
  for (size_t i = 0; i < fuzz_.module->function("main").outputs.size() && i < own.untouched.size(); ++i)
    if (becomes_infinite(got[i], own.untouched[i])) return true;
  return false;
}

std::string Contract::broken(const std::vector<Array>& got, size_t i) {
  const Run& own = sample(0);
  Errors mine = errors_of(got[i], own.exact[i], own.untouched[i]);
  if (mine.lost && !fuzz_.attention && lost_noise(got[i], i)) mine.lost = false;
  const bool gradient = fuzz_.gradients && i >= fuzz_.module->function("main").outputs.size();
  double cancelled = gradient ? kCancelledGradients : fuzz_.attention ? 0 : kCancelledValues;
  for (const Array& other : own.exact)
    if (gradient && is_floating(other.dtype()))
      cancelled = std::max(cancelled, 4 * errors_of(other, other, other).largest);
  const double unit = coarsest_unit(fuzz_.module->function("main"));
  Errors theirs;
  const auto allow = [&](const Errors& e) {
    theirs.most = std::max(theirs.most, e.most);
    theirs.square = std::max(theirs.square, e.square);
    return within(mine, theirs, cancelled, unit);
  };
  for (size_t n = 0; n < kSamples; ++n) {
    const Run& r = sample(n);
    if (i >= r.untouched.size() || i >= r.exact.size()) continue;
    if (allow(errors_of(r.untouched[i], r.exact[i], r.untouched[i]))) return "";
  }
  // What the rounding of the arguments changes as much is no error: a gradient at a kink, such as that of
  // leaky_relu where a score is 0 but for rounding.
  Random random(kSamples);
  const auto wide = widened(*fuzz_.module);
  for (size_t n = 0; n < kSamples; ++n) {
    std::vector<Array> in;
    for (const Array& a : fuzz_.arguments) in.push_back(nudged(a, random));
    const std::vector<Array> exact = run(wide, function_, in, "reference", false).out;
    if (i >= exact.size()) break;
    if (allow(errors_of(exact[i], own.exact[i], own.untouched[i]))) return "";
  }
  if (overflows() || (gradient && mends_results(got))) return "";
  // Masks that were disturbed into scores of 1e9 leave the untouched operations no digit.
  if (!fuzz_.attention && !mine.lost && theirs.most > kNoDigit * mine.largest) return "";
  if (mine.lost) return "it is not finite where the untouched operations are";
  return fmt::format(
      "its largest error is {:.3g}, its root mean square error {:.3g}; those of the untouched operations are "
      "{:.3g} "
      "and {:.3g} (largest value {:.3g})",
      mine.most, mine.square, theirs.most, theirs.square, mine.largest);
}

}  // namespace fovea::tools
