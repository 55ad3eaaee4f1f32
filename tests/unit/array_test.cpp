// Arrays: memory, element access, conversion, printing.
#include "framework/tensor/array.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "tests/unit/array_test_util.h"

namespace fovea {
namespace {

using namespace test;

TEST(Buffer, AllocatesAlignedMemory) {
  for (int64_t bytes : {0, 1, 63, 64, 65, 1 << 20, (32 << 20) - 1, (40 << 20) + 3}) {
    auto b = Buffer::allocate(bytes);
    EXPECT_EQ(b->bytes(), bytes);
    ASSERT_NE(b->data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b->data()) % 64, 0u);
    EXPECT_FALSE(b->donated);
    std::memset(b->data(), 1, static_cast<size_t>(bytes));
  }
}

TEST(Buffer, RefusesAbsurdSizesWithTheFigure) {
  expect_error(
      ErrorKind::ResourceExhausted, [] { Buffer::allocate(kMost); }, "asked for 9223372036854775807 bytes");
  expect_error(
      ErrorKind::ResourceExhausted, [] { Buffer::allocate(int64_t{1} << 46); }, "70368744177664 bytes");
  expect_error(
      ErrorKind::ResourceExhausted, [] { Array(DType::f32, {int64_t{1} << 44}); }, "70368744177664 bytes");
  expect_invalid([] { Buffer::allocate(-1); }, "-1 bytes");
  EXPECT_EQ(Array::zeros(DType::f32, {2}).at({1}), 0);  // and life goes on
}

TEST(Buffer, ReleasesAdoptedMemoryOnceAfterTheLastArray) {
  int released = 0;
  float data[4] = {1, 2, 3, 4};
  {
    Array tail;
    {
      auto b = Buffer::adopt(data, sizeof data, [&](void* p) {
        EXPECT_EQ(p, data);
        ++released;
      });
      tail = Array(b, DType::f32, {2}, {1}, 2);
    }
    EXPECT_EQ(released, 0);
    EXPECT_EQ(tail.at({0}), 3);
  }
  EXPECT_EQ(released, 1);
  {
    auto throws = Buffer::adopt(data, 16, [](void*) { throw 1; });
  }
  expect_invalid([&] { Buffer::borrow(data, -1); }, "-1 bytes");
  expect_invalid([] { Buffer::borrow(nullptr, 8); }, "null address");
}

TEST(Buffer, BorrowsMemoryInPlace) {
  int32_t data[3] = {1, 2, 3};
  Array a(Buffer::borrow(data, sizeof data), DType::i32, {3}, {1}, 0);
  a.set_flat(1, 20);
  EXPECT_EQ(data[1], 20);
  EXPECT_EQ(a.data<int32_t>(), data);
}

TEST(Array, KnowsItsShape) {
  const Array a(DType::f64, {2, 3, 4});
  EXPECT_EQ(a.rank(), 3);
  EXPECT_EQ(a.size(), 24);
  EXPECT_EQ(a.nbytes(), 192);
  EXPECT_EQ(a.strides(), (Dims{12, 4, 1}));
  EXPECT_EQ(a.dim(-1), 4);
  EXPECT_EQ(a.dim(0), 2);
  EXPECT_TRUE(a.is_contiguous());
  expect_invalid([&] { a.dim(3); }, "axis 3 of an array of rank 3 and shape [2, 3, 4]");
  expect_invalid([&] { a.dim(-4); }, "axis -4");
}

TEST(Array, RefusesImpossibleShapes) {
  expect_invalid([] { Array(DType::f32, {2, -1}); }, "negative size");
  expect_invalid([] { Array(DType::f32, {kHuge, 4}); }, "overflows");
  expect_invalid([] { Array(DType::f32, {kHuge}); }, "overflows");
  expect_invalid([] { Array(DType::f32, {0, kHuge, kHuge}); }, "overflows");
  expect_invalid([] { Array(static_cast<DType>(200), {1}); }, "200");
  expect_invalid([] { Array::of(Ints{1, 2, 3}, {2, 2}); }, "3 values for shape [2, 2]");
}

TEST(Array, ViewsStayInsideTheirBuffer) {
  auto b = Buffer::allocate(10 * 4);
  EXPECT_NO_THROW(Array(b, DType::f32, {2, 5}, {5, 1}, 0));
  EXPECT_NO_THROW(Array(b, DType::f32, {10}, {-1}, 9));
  EXPECT_NO_THROW(Array(b, DType::f32, {2, 3}, {-5, 2}, 5));
  EXPECT_NO_THROW(Array(b, DType::f32, {1000000}, {0}, 9));
  EXPECT_NO_THROW(Array(b, DType::f32, {0, 3}, {kMost, 7}, 10));
  expect_invalid([&] { Array(b, DType::f32, {11}, {1}, 0); }, "elements 0 to 10 of a buffer of 40 bytes");
  expect_invalid([&] { Array(b, DType::f32, {10}, {1}, 1); }, "elements 1 to 10");
  expect_invalid([&] { Array(b, DType::f32, {10}, {-1}, 8); }, "elements -1 to 8");
  expect_invalid([&] { Array(b, DType::f32, {1}, {1}, -1); }, "elements -1 to -1");
  expect_invalid([&] { Array(b, DType::f64, {6}, {1}, 0); }, "elements 0 to 5");
  expect_invalid([&] { Array(b, DType::f32, {0}, {1}, 11); }, "elements 11");
  expect_invalid([&] { Array(b, DType::f32, {0}, {1}, -1); }, "elements -1");
  expect_invalid([&] { Array(b, DType::f32, {3}, {kMost}, 0); }, "overflows");
  expect_invalid([&] { Array(b, DType::f32, {2}, {kMost}, 1); }, "overflows");
  expect_invalid([&] { Array(b, DType::f32, {2}, {kLeast}, 0); }, "elements -9223372036854775808");
  expect_invalid([&] { Array(b, DType::f32, {2, 2}, {1}, 0); }, "1 strides");
  expect_invalid([&] { Array(nullptr, DType::f32, {1}, {1}, 0); }, "null buffer");
  auto odd = Buffer::borrow(static_cast<char*>(b->data()) + 2, 16);
  expect_invalid([&] { Array(odd, DType::f32, {1}, {1}, 0); }, "divisible by 4");
  EXPECT_NO_THROW(Array(odd, DType::f16, {1}, {1}, 0));
}

TEST(Array, UndefinedAndDonatedArraysSayWhy) {
  const Array none;
  EXPECT_FALSE(none.defined());
  EXPECT_EQ(none.str(), "undefined array");
  for (auto use : std::vector<std::function<void()>>{
           [&] { none.raw(); }, [&] { none.copy(); }, [&] { none.contiguous(); },
           [&] { none.cast(DType::i8); }, [&] { none.cast(DType::f32); }, [&] { none.reshape({}); },
           [&] { none.slice(0, 0, 1); }, [&] { none.permute({}); }, [&] { none.transpose(0, 0); },
           [&] { none.broadcast_to({}); }, [&] { none.item(); }, [&] { none.get_flat(0); },
           [&] { none.at({}); }, [&] { none.data<float>(); }})
    expect_invalid(use, "undefined");

  const Array a = Array::full(DType::f32, {2}, 1), view = a.slice(0, 0, 1);
  a.buffer()->donated = true;
  for (auto use :
       std::vector<std::function<void()>>{[&] { a.raw(); }, [&] { view.item(); }, [&] { a.copy(); },
                                          [&] { a.cast(DType::f32); }, [&] { a.to_vector<float>(); }})
    expect_invalid(use, "this array was donated to a compiled program and its memory reused");
  EXPECT_EQ(a.str(), "donated array  f32[2]");
}

TEST(Array, TypedPointersAreChecked) {
  const Array a = range({2, 3});
  EXPECT_EQ(a.data<int64_t>()[5], 5);
  expect_invalid([&] { a.data<float>(); }, "the array is i64, read as f32");
  expect_invalid([&] { a.transpose(0, 1).data<int64_t>(); }, "strided view");
}

TEST(Array, EveryTypeHoldsItsElements) {
  for (DType t : kAll) {
    Array a = Array::zeros(t, {2, 2});
    EXPECT_EQ(ints(a), (Ints{0, 0, 0, 0})) << to_string(t);
    a.set_flat(2, 1);
    EXPECT_EQ(a.get_flat(2), 1) << to_string(t);
    EXPECT_EQ(a.at({1, 0}), 1) << to_string(t);
    EXPECT_EQ(a.at({-1, -2}), 1) << to_string(t);
    EXPECT_EQ(ints(Array::full(t, {3}, 1)), (Ints{1, 1, 1})) << to_string(t);
    EXPECT_EQ(ints(a.transpose(0, 1).copy()), (Ints{0, 1, 0, 0})) << to_string(t);
    EXPECT_EQ(a.cast(t).raw(), a.raw()) << to_string(t);
    EXPECT_EQ(Array::full(t, {}, 1).item(), 1) << to_string(t);
  }
  EXPECT_EQ(Array::scalar(2.5f).item(), 2.5);
  EXPECT_EQ(Array::of(std::vector<bool>{true, false, true}, {3}).to_vector<bool>(),
            (std::vector<bool>{true, false, true}));
  const Array a = range({2, 3});
  expect_invalid([&] { a.at({2, 0}); }, "index 2 on axis 0 of shape [2, 3]");
  expect_invalid([&] { a.at({0, -4}); }, "index -4 on axis 1");
  expect_invalid([&] { a.at({0}); }, "1 indices");
  expect_invalid([&] { a.item(); }, "holds 6 elements");
  expect_invalid([&] { a.get_flat(6); }, "position 6");
  expect_invalid([&] { a.get_flat(-1); }, "position -1");
  expect_invalid([] { Array::zeros(DType::f32, {0}).get_flat(0); }, "0 elements");
}

TEST(Array, FlatPositionsFollowTheView) {
  Array a = range({2, 3}), t = a.transpose(0, 1);
  EXPECT_EQ(t.get_flat(1), 3);
  t.set_flat(1, 30);
  EXPECT_EQ(ints(a), (Ints{0, 1, 2, 30, 4, 5}));
}

template <class T>
std::vector<T> cast_of(const std::vector<double>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())}).cast(dtype_of<T>).template to_vector<T>();
}

TEST(Cast, FloatsToIntegersTruncateAndSaturate) {
  const std::vector<double> values = {1.9, -1.9, 127.9, 128, -128.9, -129, 1e300, -kInf, kInf, std::nan("")};
  EXPECT_EQ(cast_of<int8_t>(values), (std::vector<int8_t>{1, -1, 127, 127, -128, -128, 127, -128, 127, 0}));
  EXPECT_EQ(cast_of<uint8_t>({-0.9, -1, 255.9, 256, 3.5, std::nan("")}),
            (std::vector<uint8_t>{0, 0, 255, 255, 3, 0}));
  EXPECT_EQ(cast_of<int16_t>({32767.5, 32768, -32769}), (std::vector<int16_t>{32767, 32767, -32768}));
  EXPECT_EQ(cast_of<int32_t>({2147483647.0, 2147483648.0, -2147483649.0, -2147483647.5}),
            (std::vector<int32_t>{2147483647, 2147483647, -2147483647 - 1, -2147483647}));
  EXPECT_EQ(cast_of<int64_t>({0x1p63, 0x1p63 - 1024, -0x1p63, -kInf}),
            (Ints{kMost, kMost - 1023, kLeast, kLeast}));
  for (DType t : {DType::f32, DType::f16, DType::bf16}) {
    const Array a = Array::of(std::vector<double>{2.5, -2.5, kInf, -kInf, std::nan("")}, {5}).cast(t);
    EXPECT_EQ(a.cast(DType::i8).to_vector<int8_t>(), (std::vector<int8_t>{2, -2, 127, -128, 0}))
        << to_string(t);
    EXPECT_EQ(ints(a), (Ints{2, -2, kMost, kLeast, 0})) << to_string(t);
  }
}

TEST(Cast, SixtyFourBitIntegersKeepEveryBit) {
  const Ints values = {kMost, kLeast, (int64_t{1} << 53) + 1, -((int64_t{1} << 60) + 3)};
  const Array a = Array::of(values, {4});
  EXPECT_EQ(ints(a), values);
  EXPECT_EQ(a.cast(DType::i32).to_vector<int32_t>(), (std::vector<int32_t>{-1, 0, 1, -3}));  // the low bits
  EXPECT_EQ(a.cast(DType::f64).to_vector<double>(), (std::vector<double>{0x1p63, -0x1p63, 0x1p53, -0x1p60}));
}

TEST(Cast, ToBoolIsNotZero) {
  EXPECT_EQ(cast_of<bool>({0, -0.0, 0.25, -3, kInf, std::nan(""), 5e-324}),
            (std::vector<bool>{false, false, true, true, true, true, true}));
  EXPECT_EQ(Array::of(Ints{0, 256, -1}, {3}).to_vector<bool>(), (std::vector<bool>{false, true, true}));
  EXPECT_EQ(Array::of(std::vector<f16_t>{f16_t(0.f), f16_t(-0.f), f16_t(6e-8f)}, {3}).to_vector<bool>(),
            (std::vector<bool>{false, false, true}));
}

TEST(Cast, ForeignBoolBytesAreTrue) {
  uint8_t bytes[3] = {0, 2, 255};
  const Array a(Buffer::borrow(bytes, 3), DType::boolean, {3}, {1}, 0);
  EXPECT_EQ(ints(a), (Ints{0, 1, 1}));
  EXPECT_EQ(a.at({1}), 1);
  EXPECT_EQ(a.str(), "[false, true, true]  bool[3]");
}

TEST(Cast, RoundsToTheNearestFloat) {
  EXPECT_EQ(cast_of<float>({0.1, 1e300, -1e300}), (std::vector<float>{0.1f, HUGE_VALF, -HUGE_VALF}));
  const Array h = Array::of(std::vector<double>{1 + 0x1p-11, 1 + 3 * 0x1p-11, 65519, 65520, -0x1p-24}, {5});
  EXPECT_EQ(h.cast(DType::f16).to_vector<double>(),
            (std::vector<double>{1, 1 + 0x1p-9, 65504, kInf, -0x1p-24}));
  const Array b = Array::of(std::vector<double>{1 + 0x1p-8, 1 + 3 * 0x1p-8, 257}, {3});
  EXPECT_EQ(b.cast(DType::bf16).to_vector<double>(), (std::vector<double>{1, 1 + 0x1p-6, 256}));
}

TEST(Cast, SmallIntegersSurviveEveryPairOfTypes) {
  for (DType from : kAll)
    for (DType to : kAll) {
      const bool flat = from == DType::boolean || to == DType::boolean;
      const Ints want =
          flat ? Ints{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1} : Ints{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};
      const Array source = range({3, 4}).cast(from).transpose(0, 1);
      EXPECT_EQ(ints(source.cast(to)), want) << to_string(from) << " to " << to_string(to);
      EXPECT_EQ(ints(source.copy().cast(to)), want) << to_string(from) << " to " << to_string(to);
    }
}

TEST(Cast, EmptyArraysKeepTheirShape) {
  for (DType t : kAll) {
    const Array a = Array::zeros(DType::f32, {2, 0, 3}).cast(t);
    EXPECT_EQ(a.dtype(), t);
    EXPECT_EQ(a.shape(), (Dims{2, 0, 3}));
    EXPECT_EQ(a.copy().size(), 0);
  }
}

TEST(Print, SmallArraysOnOneLine) {
  EXPECT_EQ(range({2, 2}).str(), "[[0, 1], [2, 3]]  i64[2, 2]");
  EXPECT_EQ(Array::scalar(2.5f).str(), "2.5  f32[]");
  EXPECT_EQ(Array::of(std::vector<bool>{true, false}, {2}).str(), "[true, false]  bool[2]");
  EXPECT_EQ(Array::zeros(DType::bf16, {2}).str(), "[0.0, 0.0]  bf16[2]");
  EXPECT_EQ(Array::zeros(DType::f32, {0, 3}).str(), "[]  f32[0, 3]");
  EXPECT_EQ(Array::of(std::vector<uint8_t>{200, 7}, {2}).str(), "[200, 7]  u8[2]");
  EXPECT_EQ(Array::of(Ints{kLeast, kMost}, {2}).str(), "[-9223372036854775808, 9223372036854775807]  i64[2]");
}

std::string text(const std::vector<double>& v) {
  const std::string s = Array::of(v, {static_cast<int64_t>(v.size())}).str();
  return s.substr(0, s.find("  f64"));
}

TEST(Print, FloatsChooseTheirPrecision) {
  EXPECT_EQ(text({1, -2, 3}), "[1.0, -2.0, 3.0]");
  EXPECT_EQ(text({1.5, 2.25}), "[1.50, 2.25]");
  EXPECT_EQ(text({3.14159265, 100}), "[3.1416, 100.0000]");
  EXPECT_EQ(text({0.0213456, -0.5}), "[0.02135, -0.50000]");
  EXPECT_EQ(text({1e-6, 1}), "[1.0e-06, 1.0e+00]");
  EXPECT_EQ(text({1e30, 0}), "[1.0e+30, 0.0e+00]");
  EXPECT_EQ(text({1e-7, 0}), "[1.0e-07, 0.0e+00]");
  EXPECT_EQ(text({5e-324, 1.7976931348623157e308}), "[4.9407e-324, 1.7977e+308]");
  EXPECT_EQ(text({std::nan(""), kInf, -kInf, 1}), "[nan, inf, -inf, 1.0]");
  EXPECT_EQ(text({std::nan("")}), "[nan]");
  EXPECT_EQ(text({16777217, 0.5}), "[16777217.0, 0.5]");
}

TEST(Print, LargerArraysInAlignedColumns) {
  EXPECT_EQ((range({3, 10}).slice(1, 0, 10)).str(),
            "[[ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9],\n"
            " [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],\n"
            " [20, 21, 22, 23, 24, 25, 26, 27, 28, 29]]  i64[3, 10]");
  EXPECT_EQ((range({2, 2, 10})).slice(2, 0, 5).cast(DType::f32).str(),
            "[[[ 0.0,  1.0,  2.0,  3.0,  4.0],\n"
            "  [10.0, 11.0, 12.0, 13.0, 14.0]],\n"
            "\n"
            " [[20.0, 21.0, 22.0, 23.0, 24.0],\n"
            "  [30.0, 31.0, 32.0, 33.0, 34.0]]]  f32[2, 2, 5]");
}

TEST(Print, LongDimensionsAreShortened) {
  EXPECT_EQ(range({2000}).str(), "[0, 1, 2, ..., 1997, 1998, 1999]  i64[2000]");
  EXPECT_EQ(range({40, 40}).str(),
            "[[   0,    1,    2, ...,   37,   38,   39],\n"
            " [  40,   41,   42, ...,   77,   78,   79],\n"
            " [  80,   81,   82, ...,  117,  118,  119],\n"
            " ...,\n"
            " [1480, 1481, 1482, ..., 1517, 1518, 1519],\n"
            " [1520, 1521, 1522, ..., 1557, 1558, 1559],\n"
            " [1560, 1561, 1562, ..., 1597, 1598, 1599]]  i64[40, 40]");
  EXPECT_EQ(range({1000}).str().find("..."), std::string::npos);
  const Array wide = Array::scalar(1.f).broadcast_to({1 << 20, 1 << 20});
  EXPECT_NE(wide.str().find("[1.0, 1.0, 1.0, ..., 1.0, 1.0, 1.0]"), std::string::npos);
}

TEST(Print, AnyRankStaysBounded) {
  for (size_t rank : {8u, 12u, 20u, 2000u}) {
    Dims shape(rank, 1);
    for (size_t d = 0; d < std::min<size_t>(rank, 30); ++d) shape[d] = rank == 8 ? 7 : 2;
    const Array a = Array::scalar(1.f).broadcast_to(shape);
    const std::string s = a.str();
    EXPECT_LT(s.size(), 40000u) << rank;
    EXPECT_EQ(std::count(s.begin(), s.end(), '['), std::count(s.begin(), s.end(), ']'));
  }
}

}  // namespace
}  // namespace fovea
