// Ops that move elements or make them: values against index arithmetic, layouts, shapes with symbols.
#include <cmath>
#include <cstdint>
#include <numeric>

#include "frontends/cpp/trace.h"
#include "generated/ops.h"
#include "tests/unit/ops_test_util.h"

namespace fovea {
namespace {

using namespace test;

// y[index] = x[from(index)] for every index of the result.
void expect_moved(const Array& y, const Dims& shape, const Array& x,
                  const std::function<Dims(const Dims&)>& from, const std::string& what) {
  std::vector<double> want;
  each_index(shape,
             [&](const Dims& index, int64_t) { want.push_back(x.get_flat(flat(x.shape(), from(index)))); });
  expect_values(y, shape, want, 0, what);
}

Array counting(Dims shape, DType dtype = DType::f32) {
  Array a(DType::f64, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, static_cast<double>(i));
  return a.cast(dtype);
}

constexpr DType kAllTypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,
                               DType::i16, DType::i32, DType::i64, DType::u8,   DType::boolean};

TEST(Movement, ReshapeOfContiguousAndStridedOperands) {
  const Array x = counting({2, 3, 4});
  for (const char* backend : {"cpu", "reference"})
    for (const Array& view : {x, x.transpose(0, 2), x.slice(2, 3, -5, -2)}) {
      const int64_t n = view.size();
      std::vector<double> want;
      for (int64_t i = 0; i < n; ++i) want.push_back(view.get_flat(i));
      expect_values(run_op_on(backend, "reshape", {view}, {{"shape", Shape{2, -1}}})[0], {2, n / 2}, want, 0,
                    backend);
    }
  EXPECT_EQ(reshape(counting({0, 3}), {3, 0}).array().shape(), (Dims{3, 0}));
  EXPECT_EQ(squeeze(counting({1, 3, 1})).array().shape(), (Dims{3}));
  EXPECT_EQ(squeeze(counting({1, 3, 1}), {-1}).array().shape(), (Dims{1, 3}));
  EXPECT_EQ(unsqueeze(counting({3}), -1).array().shape(), (Dims{3, 1}));
  EXPECT_EQ(flatten(x, 1).array().shape(), (Dims{2, 12}));
  expect_error([&] { squeeze(x, {1}); }, "axis 1 has size 3, not 1");
  expect_error(
      [&] {
        reshape(x, {5, -1});
      },
      "[2, 3, 4] with 24 elements cannot take shape [5, -1]: 5 does not divide them");
  expect_error([&] { reshape(counting({0, 3}), {0, -1}); }, "the size -1 of [0, -1] is not determined");
}

TEST(Movement, PermuteEveryElementType) {
  for (DType dtype : kAllTypes) {
    const Array x = counting({2, 3, 4}, dtype);
    for (const char* backend : {"cpu", "reference"})
      expect_moved(
          run_op_on(backend, "permute", {x}, {{"axes", Ints{2, 0, 1}}})[0], {4, 2, 3}, x,
          [](const Dims& i) {
            return Dims{i[1], i[2], i[0]};
          },
          std::string(to_string(dtype)));
  }
  const Array x = counting({2, 3, 4});
  expect_moved(
      transpose(x, 0, -1).array(), {4, 3, 2}, x,
      [](const Dims& i) {
        return Dims{i[2], i[1], i[0]};
      },
      "transpose");
  expect_moved(
      move_axis(x, 0, 2).array(), {3, 4, 2}, x,
      [](const Dims& i) {
        return Dims{i[2], i[0], i[1]};
      },
      "move_axis");
}

TEST(Movement, LargeTransposesInBlocks) {
  const Array x = random_array({3, 517, 261}, 1);
  expect_moved(
      copy(x.transpose(1, 2)).array(), {3, 261, 517}, x,
      [](const Dims& i) {
        return Dims{i[0], i[2], i[1]};
      },
      "copy");
  EXPECT_TRUE(copy(x.transpose(1, 2)).array().is_contiguous());
}

TEST(Movement, BroadcastTo) {
  const Array x = counting({3, 1});
  for (const char* backend : {"cpu", "reference"})
    expect_moved(
        run_op_on(backend, "broadcast_to", {x}, {{"shape", Shape{2, 3, 4}}})[0], {2, 3, 4}, x,
        [](const Dims& i) {
          return Dims{i[1], 0};
        },
        backend);
  EXPECT_EQ(broadcast_to(counting({1}), {0}).array().size(), 0);
}

TEST(Movement, SliceAsPythonDoes) {
  const Array x = counting({7, 5});
  const auto rows = [&](Dim start, Dim stop, int64_t step) { return slice(x, 0, start, stop, step).array(); };
  const auto first = [](int64_t begin, int64_t step) {
    return [=](const Dims& i) { return Dims{begin + i[0] * step, i[1]}; };
  };
  expect_moved(rows(1, 4, 1), {3, 5}, x, first(1, 1), "1:4");
  expect_moved(rows(-3, 100, 1), {3, 5}, x, first(4, 1), "-3:100");
  expect_moved(rows(0, 7, 3), {3, 5}, x, first(0, 3), "::3");
  expect_moved(rows(100, -100, -1), {7, 5}, x, first(6, -1), "100:-100:-1");
  expect_moved(rows(5, 1, -2), {2, 5}, x, first(5, -2), "5:1:-2");
  EXPECT_EQ(rows(4, 2, 1).shape(), (Dims{0, 5}));
  expect_moved(
      flip(x, {0, 1}).array(), {7, 5}, x,
      [](const Dims& i) {
        return Dims{6 - i[0], 4 - i[1]};
      },
      "flip");
  expect_moved(
      select_index(x, 1, -2).array(), {7}, x,
      [](const Dims& i) {
        return Dims{i[0], 3};
      },
      "select_index");
  const auto parts = split(x, {2, 0, 5}, 0);
  expect_moved(parts[2].array(), {5, 5}, x, first(2, 1), "split");
  EXPECT_EQ(parts[1].array().shape(), (Dims{0, 5}));
  expect_moved(
      chunk(x, 5, 1)[3].array(), {7, 1}, x,
      [](const Dims& i) {
        return Dims{i[0], 3};
      },
      "chunk");
  expect_moved(
      unbind(x)[6].array(), {5}, x,
      [](const Dims& i) {
        return Dims{6, i[0]};
      },
      "unbind");
  expect_error([&] { split(x, {2, 4}, 0); }, "sizes [2, 4] add up to 6, axis 0 has 7");
  expect_error([&] { chunk(x, 2, 0); }, "axis 0 of size 7 does not divide into 2 equal pieces");
  expect_error([&] { slice(x, 0, 0, 7, 0); }, "the step of axis 0 is 0");
}

TEST(Movement, Indexing) {
  const Tensor x = counting({4, 5, 6});
  const Array a = x.array();
  expect_moved(
      x[{2}].array(), {5, 6}, a,
      [](const Dims& i) {
        return Dims{2, i[0], i[1]};
      },
      "[2]");
  expect_moved(
      x[{all, -1}].array(), {4, 6}, a,
      [](const Dims& i) {
        return Dims{i[0], 4, i[1]};
      },
      "[:, -1]");
  expect_moved(
      x[{ellipsis, 3}].array(), {4, 5}, a,
      [](const Dims& i) {
        return Dims{i[0], i[1], 3};
      },
      "[..., 3]");
  expect_moved(
      x[{all, newaxis, newaxis, all}].array(), {4, 1, 1, 5, 6}, a,
      [](const Dims& i) {
        return Dims{i[0], i[3], i[4]};
      },
      "newaxis");
  expect_moved(
      x[{range(1, -1), 0, range(std::nullopt, std::nullopt, -2)}].array(), {2, 3}, a,
      [](const Dims& i) {
        return Dims{1 + i[0], 0, 5 - 2 * i[1]};
      },
      "[1:-1, 0, ::-2]");
  expect_moved(
      x[{newaxis, ellipsis, range(2), newaxis}].array(), {1, 4, 5, 4, 1}, a,
      [](const Dims& i) {
        return Dims{i[1], i[2], 2 + i[3]};
      },
      "[None, ..., 2:, None]");
  expect_moved(
      x[{1, 2, 3}].array(), {}, a,
      [](const Dims&) {
        return Dims{1, 2, 3};
      },
      "[1, 2, 3]");
  expect_error([&] { x[{4}]; }, "4 is out of range for axis 0 of size 4");
  expect_error([&] { x[{all, -6}]; }, "-6 is out of range for axis 1 of size 5");
  expect_error([&] { x[{0, 0, 0, 0}]; }, "4 axes are indexed, the tensor has rank 3");
  expect_error([&] { x[{ellipsis, ellipsis}]; }, "more than one ellipsis");
}

TEST(Movement, IndexingOfUnknownSizes) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  const Tensor x = builder->input("x", {DType::f32, {Dim::symbol("L"), 2}});
  builder->output("last", x[{-1}]);
  builder->output("inner", x[{range(1, -1)}]);
  builder->output("reversed", x[{range(std::nullopt, std::nullopt, -1)}]);
  EXPECT_EQ(to_string(builder->graph().type(builder->graph().outputs[1])), "f32[L - 2, 2]");
  EXPECT_EQ(to_string(builder->graph().type(builder->graph().outputs[2])), "f32[L, 2]");
  builder->finish();
  Program program(module, "f");
  const auto y = program.run({counting({4, 2})});
  expect_values(y[0], {2}, {6, 7}, 0, "last");
  expect_values(y[1], {2, 2}, {2, 3, 4, 5}, 0, "inner");
  expect_values(y[2], {4, 2}, {6, 7, 4, 5, 2, 3, 0, 1}, 0, "reversed");
  // Shorter than the slice asks for: an error, not a read outside.
  expect_error([&] { program.run({counting({1, 2})}); }, "-1");
}

TEST(Movement, Concat) {
  for (const char* backend : {"cpu", "reference"}) {
    const Array a = counting({2, 3}), b = counting({3, 2}).transpose(0, 1), none(DType::f32, {2, 0});
    expect_values(run_op_on(backend, "concat", {a, none, b}, {{"axis", -1}})[0], {2, 6},
                  {0, 1, 2, 0, 2, 4, 3, 4, 5, 1, 3, 5}, 0, backend);
  }
  const Array a = Array::of<float>({1, 2}, {2}), b = Array::of<float>({3, 4}, {2});
  expect_values(stack({a, b}).array(), {2, 2}, {1, 2, 3, 4}, 0, "stack");
  expect_values(stack({a, b}, -1).array(), {2, 2}, {1, 3, 2, 4}, 0, "stack behind");
  EXPECT_EQ(concat({a, Array::of<double>({5}, {1})}).dtype(), DType::f64);
  expect_values(roll(counting({5}), 2, 0).array(), {5}, {3, 4, 0, 1, 2}, 0, "roll");
  expect_values(roll(counting({5}), -7, 0).array(), {5}, {2, 3, 4, 0, 1}, 0, "roll back");
  expect_values(tile(counting({2, 2}), {2, 2}).array(), {4, 4},
                {0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3}, 0, "tile");
  expect_values(tile(counting({2}), {2, 1}).array(), {2, 2}, {0, 1, 0, 1}, 0, "tile with a new axis");
  expect_values(repeat(counting({2, 2}), 2, 0).array(), {4, 2}, {0, 1, 0, 1, 2, 3, 2, 3}, 0, "repeat rows");
  expect_values(repeat(counting({2, 2}), 2, 1).array(), {2, 4}, {0, 0, 1, 1, 2, 2, 3, 3}, 0,
                "repeat columns");
  expect_error([&] { concat({}); }, "takes 1 or more operands, got 0");
}

TEST(Movement, PadGrowsCropsAndSpreads) {
  const Array x = counting({2, 3});
  const std::vector<std::pair<Ints, Ints>> sides = {
      {{1, 2}, {0, 1}}, {{-1, 0}, {1, -2}}, {{0, -2}, {0, 4}}, {{-2, -5}, {3, 9}}};
  for (const auto& [low, high] : sides)
    for (const Ints& interior : {Ints{0, 0}, Ints{1, 2}}) {
      Dims shape, spread;
      for (int d = 0; d < 2; ++d) {
        spread.push_back(x.shape()[d] + (x.shape()[d] - 1) * interior[d]);
        shape.push_back(low[d] + spread[d] + high[d]);
      }
      std::vector<double> want;
      each_index(shape, [&](const Dims& index, int64_t) {
        Dims from;
        bool inside = true;
        for (int d = 0; d < 2; ++d) {
          const int64_t at = index[d] - low[d];
          inside = inside && at >= 0 && at < spread[d] && at % (interior[d] + 1) == 0;
          from.push_back(at / (interior[d] + 1));
        }
        want.push_back(inside ? x.get_flat(flat(x.shape(), from)) : 9.5);
      });
      for (const char* backend : {"cpu", "reference"})
        expect_values(run_op_on(backend, "pad", {x},
                                {{"low", to_shape(low)},
                                 {"high", to_shape(high)},
                                 {"interior", interior},
                                 {"value", 9.5}})[0],
                      shape, want, 0, to_string(low) + to_string(high) + to_string(interior) + backend);
    }
}

TEST(Movement, Gather) {
  const Array x = counting({3, 4, 2});
  for (DType id_type : {DType::i32, DType::i64})
    for (const char* backend : {"cpu", "reference"}) {
      const Array ids = Array::of<int64_t>({3, 0, 3, 1, 2, 2}, {2, 3}).cast(id_type);
      expect_moved(
          run_op_on(backend, "gather", {x, ids}, {{"axis", 1}})[0], {3, 2, 3, 2}, x,
          [&](const Dims& i) {
            return Dims{i[0], static_cast<int64_t>(ids.at({i[1], i[2]})), i[3]};
          },
          backend);
      const Array outside = Array::of<int64_t>({0, 4}, {2}).cast(id_type),
                  negative = Array::of<int64_t>({-1}, {1}).cast(id_type);
      expect_error(
          [&] {
            run_op_on(backend, "gather", {x, outside}, {{"axis", 1}});
          },
          "gather: index 4 at position 1 is out of range for axis of size 4");
      expect_error(
          [&] {
            run_op_on(backend, "gather", {x, negative}, {{"axis", 0}});
          },
          "gather: index -1 at position 0 is out of range for axis of size 3");
    }
  expect_values(gather(x, Array::of<int64_t>({}, {0}), 0).array(), {0, 4, 2}, {}, 0, "no indices");
}

TEST(Movement, ScatterAddRepeatsAndThreads) {
  const int64_t n = 50, rows = 700, columns = 300;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < rows; ++i) ids.push_back(i * i % n);
  for (DType dtype : {DType::f32, DType::f64, DType::i32}) {
    const Array x = random_array({n, columns}, 2, dtype, -9, 9),
                u = random_array({rows, columns}, 3, dtype, -9, 9);
    std::vector<double> want = x.to_vector<double>();
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < columns; ++c) want[ids[i] * columns + c] += u.get_flat(i * columns + c);
    for (const char* backend : {"cpu", "reference"})
      expect_values(run_op_on(backend, "scatter_add", {x, Array::of(ids, {rows}), u})[0], {n, columns}, want,
                    dtype == DType::f32 ? 4e-5 : 1e-12, std::string(to_string(dtype)) + backend);
  }
  for (const char* backend : {"cpu", "reference"})
    expect_error(
        [&] {
          run_op_on(backend, "scatter_add", {counting({3}), Array::of<int64_t>({3}, {1}), counting({1})});
        },
        "scatter_add: index 3 at position 0 is out of range for axis of size 3");
}

TEST(Movement, AlongAxis) {
  const Array x = counting({2, 3, 4}), ids = Array::of<int64_t>({0, 2, 1, 1, 2, 2, 0, 1}, {2, 1, 4});
  for (const char* backend : {"cpu", "reference"})
    expect_moved(
        run_op_on(backend, "take_along_axis", {x, ids}, {{"axis", 1}})[0], {2, 1, 4}, x,
        [&](const Dims& i) {
          return Dims{i[0], static_cast<int64_t>(ids.at({i[0], 0, i[2]})), i[2]};
        },
        backend);
  std::vector<double> want = x.to_vector<double>();
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t c = 0; c < 4; ++c) want[b * 12 + static_cast<int64_t>(ids.at({b, 0, c})) * 4 + c] += 10;
  for (const char* backend : {"cpu", "reference"})
    expect_values(run_op_on(backend, "scatter_along_axis", {x, ids, Array::full(DType::f32, {2, 1, 4}, 10)},
                            {{"axis", 1}})[0],
                  {2, 3, 4}, want, 0, backend);
  expect_error(
      [&] {
        take_along_axis(x, Array::full(DType::i64, {2, 1, 4}, 3), 1);
      },
      "take_along_axis: index 3 at position 0 is out of range for axis of size 3");
}

TEST(Movement, MakersAndMasks) {
  expect_values(iota({2, 3}, 1, DType::f32).array(), {2, 3}, {0, 1, 2, 0, 1, 2}, 0, "iota");
  expect_values(iota({2, 3}, 0).array(), {2, 3}, {0, 0, 0, 1, 1, 1}, 0, "iota rows");
  expect_values(full({2}, 3.9, DType::i32).array(), {2}, {3, 3}, 0, "full");
  expect_values(zeros_like(Arg(Array(DType::u8, {3}))).array(), {3}, {0, 0, 0}, 0, "zeros_like");
  expect_values(extent({2, 3}).array(), {}, {6}, 0, "extent");
  expect_values(tril(counting({2, 3}), 1).array(), {2, 3}, {0, 1, 0, 3, 4, 5}, 0, "tril");
  expect_values(triu(counting({3, 2})).array(), {3, 2}, {0, 1, 0, 3, 0, 0}, 0, "triu");
  expect_values(one_hot(Array::of<int64_t>({2, -1, 0, 3}, {4}), 3).array(), {4, 3},
                {0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0}, 0, "one_hot");
}

TEST(Movement, SymbolicShapes) {
  const Dim b = Dim::symbol("B"), l = Dim::symbol("L");
  const TensorType x{DType::f32, {b, l, 12}};
  EXPECT_EQ(infer("reshape", {x}, {{"shape", Shape{b, l, 3, -1}}})[0], "f32[B, L, 3, 4]");
  EXPECT_EQ(infer("reshape", {x}, {{"shape", Shape{-1, 12}}})[0], "f32[B*L, 12]");
  EXPECT_EQ(infer("permute", {x}, {{"axes", Ints{2, 0, 1}}})[0], "f32[12, B, L]");
  EXPECT_EQ(infer("concat", {x, x}, {{"axis", 1}})[0], "f32[B, 2*L, 12]");
  EXPECT_EQ(infer("gather", {{DType::f32, {100, 8}}, {DType::i64, {b, l}}})[0], "f32[B, L, 8]");
  EXPECT_EQ(infer("pad", {x}, {{"low", Shape{0, 1, 0}}, {"high", Shape{0, l, 0}}})[0], "f32[B, 2*L + 1, 12]");
  EXPECT_EQ(infer("broadcast_to", {{DType::f32, {1, 12}}}, {{"shape", x.shape}})[0], "f32[B, L, 12]");
  expect_error(
      [&] {
        infer("broadcast_to", {{DType::f32, {b, 3}}}, {{"shape", Shape{4, 4}}});
      },
      "axis 1 is 3 against 4");
  // A size that must divide is checked when the program runs.
  auto program = test::program_of("reshape", {{DType::f32, {b}}}, {{"shape", Shape{-1, 4}}}, "cpu");
  EXPECT_EQ(program.run({counting({8})})[0].shape(), (Dims{2, 4}));
  expect_error([&] { program.run({counting({6})}); }, "divide");
}

TEST(Movement, DebugPrintPassesItsOperandOn) {
  testing::internal::CaptureStderr();
  const Array y = debug_print(counting({2, 2}).transpose(0, 1), "x").array();
  const std::string text = testing::internal::GetCapturedStderr();
  expect_values(y, {2, 2}, {0, 2, 1, 3}, 0, "value");
  EXPECT_EQ(text.substr(0, 4), "x = ");
  EXPECT_NE(text.find('3'), std::string::npos);
}

// The result may lie over x only where the updates are something else.
TEST(Movement, ScatterAddReadsWhatItAddsTo) {
  const Function twice = compile([](const std::vector<Tensor>& in) {
    const Tensor y = in[0] + 1.0;
    return std::vector<Tensor>{scatter_add(y, in[1], y)};
  });
  const Tensor out = twice({Array::of<double>({0, 10, 20}, {3}), Array::of<int64_t>({0, 0, 1}, {3})})[0];
  EXPECT_EQ(out.array().to_vector<double>(), (std::vector<double>{1 + 1 + 11, 11 + 21, 21}));
}

}  // namespace
}  // namespace fovea
