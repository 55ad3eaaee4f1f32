#include "ops/composite/fused_map/fused_map.h"

#include <algorithm>
#include <sstream>

#include "framework/base/error.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

using tiles::Code;
using tiles::Instr;
using tiles::Kind;

constexpr std::string_view kResultNames[] = {"map", "sum_last", "max_last", "min_last", "sum_first"};

std::vector<MapResult> parse_results(const std::string& text) {
  std::vector<MapResult> out;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const auto at = std::find(std::begin(kResultNames), std::end(kResultNames), word);
    if (at == std::end(kResultNames))
      invalid("fused_map: results has '" + word +
              "', which is none of map, sum_last, max_last, min_last, sum_first");
    out.push_back(static_cast<MapResult>(at - std::begin(kResultNames)));
  }
  return out;
}

void check_operands(const tiles::Program& p, size_t operands) {
  for (const Instr& i : p.code) {
    const int64_t k = i.code == Code::input ? i.index : i.code == Code::random ? i.a : -1;
    if (k >= static_cast<int64_t>(operands))
      invalid("fused_map: the program reads operand " + std::to_string(k) + " of " +
              std::to_string(operands));
  }
}

// Operands that are keys of random, and those that are read as numbers.
struct Reads {
  std::vector<bool> key, value;
  Reads(const tiles::Program& p, size_t operands) : key(operands, false), value(operands, false) {
    for (const Instr& i : p.code) {
      if (i.code == Code::input) value[i.index] = true;
      if (i.code == Code::random) key[i.a] = true;
    }
  }
};

std::vector<DType> types_of(std::span<const Tensor> in) {
  std::vector<DType> types;
  for (const Tensor& x : in) types.push_back(x.dtype());
  return types;
}

void check_spec(const MapSpec& s) {
  const auto rank = static_cast<int64_t>(s.space.size());
  if (s.program.results.empty()) invalid("fused_map: the program returns nothing");
  if (s.types.size() != s.program.results.size() || s.results.size() != s.types.size())
    invalid("fused_map: the program returns " + std::to_string(s.program.results.size()) +
            " values, but there are " + std::to_string(s.types.size()) + " types and " +
            std::to_string(s.results.size()) + " results");
  if (s.reduces() && (s.columns < 0 || s.outer < 0 || s.columns > rank - s.outer))
    invalid("fused_map: " + std::to_string(s.outer) + " outer axes and " + std::to_string(s.columns) +
            " columns of a space of rank " + std::to_string(rank));
  for (size_t k = 0; k < s.results.size(); ++k)
    if (s.results[k] != MapResult::map && s.program.code[s.program.results[k]].kind != Kind::real)
      invalid("fused_map: result " + std::to_string(k) + " is reduced, but is no real number");
  for (const Instr& i : s.program.code)
    if (i.code == Code::iota && (i.index < -rank || i.index >= rank))
      invalid("fused_map: iota over axis " + std::to_string(i.index) + " of a space of rank " +
              std::to_string(rank));
}

Shape result_shape(const MapSpec& s, MapResult result) {
  const auto rank = static_cast<int64_t>(s.space.size());
  if (result == MapResult::map) return s.space;
  Shape out;
  for (int64_t d = 0; d < rank; ++d) {
    const bool column = d >= rank - s.columns, outer = d < s.outer;
    if (result == MapResult::sum_first ? column || outer : !column) out.push_back(s.space[d]);
  }
  return out;
}

Tensor reduced(const Tensor& x, const MapSpec& s, MapResult result) {
  const auto rank = static_cast<int64_t>(s.space.size());
  if (result == MapResult::map) return x;
  Ints axes;
  const bool first = result == MapResult::sum_first;
  for (int64_t d = first ? s.outer : rank - s.columns; d < (first ? rank - s.columns : rank); ++d)
    axes.push_back(d);
  if (axes.empty()) return x;
  const char* op = result == MapResult::max_last ? "max" : result == MapResult::min_last ? "min" : "sum";
  return apply1(op, {x}, {{"axes", axes}, {"keepdims", false}});
}

Attrs example(const char* program, Shape space, const char* results = "") {
  return {{"program", program}, {"space", std::move(space)}, {"results", results}};
}

}  // namespace

bool MapSpec::reduces() const {
  return std::any_of(results.begin(), results.end(), [](MapResult r) { return r != MapResult::map; });
}

std::string MapSpec::results_text() const {
  std::string out;
  if (reduces())
    for (MapResult r : results)
      out += (out.empty() ? "" : " ") + std::string(kResultNames[static_cast<int>(r)]);
  return out;
}

Attrs map_attrs(const MapSpec& s) {
  Ints types;
  for (DType t : s.types) types.push_back(static_cast<int64_t>(t));
  Attrs attrs{{"program", s.program.str()}, {"space", s.space}, {"types", types}};
  if (s.reduces()) {
    attrs.set("results", s.results_text());
    attrs.set("columns", s.columns);
    attrs.set("outer", s.outer);
  }
  return attrs;
}

MapSpec map_spec(const Attrs& attrs, const std::vector<DType>& inputs) {
  MapSpec s;
  s.program = tiles::Program::parse(attrs.text("program"));
  if (const auto* numbers = std::get_if<Ints>(attrs.find("space"))) {
    for (int64_t n : *numbers) s.space.push_back(n);
  } else {
    s.space = attrs.shape("space");
  }
  for (int64_t t : attrs.ints("types")) {
    if (t < 0 || t >= kDTypeCount) invalid("fused_map: " + std::to_string(t) + " is no element type");
    s.types.push_back(static_cast<DType>(t));
  }
  s.results = parse_results(attrs.text("results"));
  if (s.results.empty()) s.results.assign(s.program.results.size(), MapResult::map);
  s.columns = attrs.integer("columns");
  s.outer = attrs.integer("outer");
  check_operands(s.program, inputs.size());
  if (s.types.empty())
    for (int32_t r : s.program.results) {
      const Kind kind = s.program.code[r].kind;
      s.types.push_back(kind == Kind::real      ? map_compute(s, inputs)
                        : kind == Kind::integer ? DType::i64
                                                : DType::boolean);
    }
  check_spec(s);
  return s;
}

DType map_compute(const MapSpec& s, const std::vector<DType>& inputs) {
  bool wide = std::find(s.types.begin(), s.types.end(), DType::f64) != s.types.end();
  for (const Instr& i : s.program.code)
    wide = wide || (i.code == Code::input && i.kind == Kind::real && inputs[i.index] == DType::f64);
  return wide ? DType::f64 : DType::f32;
}

FOVEA_OP(fused_map) {
  op.doc(
        "A tile program for every element of `space`, with operands that broadcast to it, in one pass over "
        "memory; results are kept whole or reduced on the way. The compiler makes these nodes from pointwise "
        "operations. Axes of the space are [outer..., rows..., columns...]: sum_last, max_last and min_last "
        "reduce the columns, sum_first the rows.")
      .variadic_input("x")
      .required_attr("program", "", "the program's text")
      .required_attr("space", Shape{}, "shape that the program runs over")
      .attr("types", Ints{}, "element types of the results, by number; empty: the computing type, i64, bool")
      .attr("results", "", "map, sum_last, max_last, min_last or sum_first for each result; empty: map")
      .attr("columns", 1, "trailing axes that are columns")
      .attr("outer", 0, "leading axes that are neither rows nor columns")
      .infer([](InferContext& c) {
        MapSpec s;
        try {
          std::vector<DType> types;
          for (const TensorType& t : c.in) types.push_back(t.dtype);
          s = map_spec(c.attrs, types);
          const Reads reads(s.program, c.in.size());
          for (size_t k = 0; k < c.in.size(); ++k) {
            if (reads.key[k] && (reads.value[k] || c.dtype(k) != DType::i64 || c.rank(k) != 1))
              c.fail("operand " + std::to_string(k) +
                     " is the key of random: it must be i64[2], read as nothing else");
            if (reads.key[k]) {
              c.same(c.shape(k)[0], 2, "a key must have 2 elements (key, step), got {a}");
              continue;
            }
            if (!reads.value[k]) continue;
            const size_t lead = s.space.size() - std::min(s.space.size(), c.shape(k).size());
            bool fits = c.shape(k).size() <= s.space.size();
            for (size_t d = 0; fits && d < c.shape(k).size(); ++d)
              fits = c.shape(k)[d] == Dim(1) || c.shape(k)[d] == s.space[lead + d];
            if (!fits)
              c.fail("operand " + std::to_string(k) + ", " + to_string(c.shape(k)) +
                     ", does not broadcast to " + to_string(s.space));
          }
        } catch (const Error& e) {
          if (e.kind() != ErrorKind::InvalidArgument) throw;
          c.fail(e.what());
        }
        for (size_t k = 0; k < s.types.size(); ++k) c.output(s.types[k], result_shape(s, s.results[k]));
      })
      .decompose([](const OpArgs& a) {
        const auto types = types_of(a.in);
        const MapSpec s = map_spec(a.attrs, types);
        Tensors out = tiles::build(s.program, a.in, s.space, map_compute(s, types));
        for (size_t k = 0; k < out.size(); ++k) {
          out[k] = reduced(out[k], s, s.results[k]);
          if (out[k].dtype() != s.types[k]) out[k] = apply1("cast", {out[k]}, {{"dtype", s.types[k]}});
        }
        return out;
      })
      .sample({In{2, 5}, In{5}},
              example("v0 = input 0; v1 = input 1; v2 = add v0 v1; v3 = tanh v2; return v3", Shape{2, 5}))
      .sample(
          {In{2, 3, 1}, In({3, 7}).separate()},
          example(
              "v0 = input 0; v1 = input 1; v2 = mul v0 v1; v3 = constant 0; v4 = less v0 v3; return v2 v4 v2",
              Shape{2, 3, 7}, "map map sum_first"))
      .sample({In{4, 6}, In{6}},
              example("v0 = input 0; v1 = input 1; v2 = mul v0 v1; v3 = exp v2; return v2 v3", Shape{4, 6},
                      "sum_last map"))
      .sample_error({In{2, 4}}, example("v0 = input 0; return v0", Shape{2, 5}),
                    "operand 0, [2, 4], does not broadcast to [2, 5]")
      .sample_error({In{2, 4}}, example("v0 = input 1; return v0", Shape{2, 4}),
                    "the program reads operand 1 of 1")
      .sample_error({In{2, 4}}, example("v0 = input; return v0", Shape{2, 4}),
                    "expected the number of an operand")
      .sample_error({In{2, 4}}, example("v0 = input 0; return v0", Shape{2, 4}, "mean"),
                    "results has 'mean'");
}

std::vector<Tensor> fused_map(const std::vector<Tensor>& inputs, const MapSpec& spec, Source source) {
  return apply("fused_map", inputs, map_attrs(spec), source);
}

}  // namespace fovea
