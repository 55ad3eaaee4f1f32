#include "ops/shared/reference.h"

#include <limits>

namespace fovea {
namespace {

// A bool is a byte that may come from outside: any byte but 0 is true.
template <class T>
Wide<T> load_element(const void* base, int64_t index) {
  if constexpr (std::is_same_v<T, bool>) {
    return static_cast<const uint8_t*>(base)[index] != 0;
  } else {
    return widen(static_cast<const T*>(base)[index]);
  }
}

int64_t saturate(double value, int64_t lowest, int64_t highest) {
  if (value != value) return 0;
  if (value <= static_cast<double>(lowest)) return lowest;
  // One above the highest is a power of two, so this bound is exact for 64 bits, too.
  if (value >= static_cast<double>(highest) + 1.0) return highest;
  return static_cast<int64_t>(value);
}

template <class T>
T from_double(double value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (kIsFloating<T>) {
    return narrow<T>(value);
  } else {
    return static_cast<T>(saturate(value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  }
}

// Straight from the integer, so that a float is rounded once.
template <class T>
T from_int(int64_t value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (kIsHalf<T>) {
    return T(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
constexpr ElementAccess access_of() {
  return {[](const void* p, int64_t i) { return static_cast<double>(load_element<T>(p, i)); },
          [](const void* p, int64_t i) {
            if constexpr (kIsFloating<T>) {
              return from_double<int64_t>(load_element<T>(p, i));
            } else {
              return load_element<T>(p, i);
            }
          },
          [](void* p, int64_t i, double v) { static_cast<T*>(p)[i] = from_double<T>(v); },
          [](void* p, int64_t i, int64_t v) { static_cast<T*>(p)[i] = from_int<T>(v); }};
}

constexpr ElementAccess kAccess[kDTypeCount] = {
    access_of<float>(),   access_of<double>(),  access_of<f16_t>(),   access_of<bf16_t>(),
    access_of<int8_t>(),  access_of<int16_t>(), access_of<int32_t>(), access_of<int64_t>(),
    access_of<uint8_t>(), access_of<bool>()};

// Calls body(args, offsets of the N operands, i) for every element i of the output.
template <int N, class F>
std::unique_ptr<PreparedKernel> each_element(const KernelRequest& r, F body) {
  std::array<Dims, N> strides;
  for (int k = 0; k < N; ++k) strides[k] = broadcast_strides(r.in[k], r.out[0].shape);
  return make_prepared([loop = StridedLoop<N>(r.out[0].shape, strides), body](const KernelArgs& args) {
    int64_t i = 0;
    loop.each([&](const auto& at) { body(args, at, i++); });
  });
}

// The operands' type, and that of the result; integers and bools are computed as int64.
struct Types {
  explicit Types(const KernelRequest& r)
      : x(element_access(r.in[0].dtype)),
        y(element_access(r.out[0].dtype)),
        floating(is_floating(r.in[0].dtype)) {}
  ElementAccess x, y;
  bool floating;
};

}  // namespace

const ElementAccess& element_access(DType dtype) { return kAccess[static_cast<int>(dtype)]; }

Dims broadcast_strides(const OperandSpec& operand, const Dims& shape) {
  Dims strides(shape.size(), 0);
  const size_t missing = shape.size() - operand.shape.size();
  for (size_t i = 0; i < operand.shape.size(); ++i)
    if (operand.shape[i] != 1) strides[missing + i] = operand.strides[i];
  return strides;
}

namespace reference {

void unary(Kernel& kernel, UnaryDouble f, UnaryInt g) {
  kernel.priority(0).strided().prepare([f, g](const KernelRequest& r) {
    return each_element<1>(r, [f, g, t = Types(r)](const KernelArgs& a, const auto& at, int64_t i) {
      if (t.floating) {
        t.y.store(a.out[0], i, f(t.x.load(a.in[0], at[0])));
      } else {
        t.y.store_int(a.out[0], i, g(t.x.load_int(a.in[0], at[0])));
      }
    });
  });
}

void binary(Kernel& kernel, BinaryDouble f, BinaryInt g) {
  kernel.priority(0).strided().prepare([f, g](const KernelRequest& r) {
    return each_element<2>(r, [f, g, t = Types(r)](const KernelArgs& a, const auto& at, int64_t i) {
      if (t.floating) {
        t.y.store(a.out[0], i, f(t.x.load(a.in[0], at[0]), t.x.load(a.in[1], at[1])));
      } else {
        t.y.store_int(a.out[0], i, g(t.x.load_int(a.in[0], at[0]), t.x.load_int(a.in[1], at[1])));
      }
    });
  });
}

void compare(Kernel& kernel, CompareDouble f, CompareInt g) {
  kernel.priority(0).strided().prepare([f, g](const KernelRequest& r) {
    return each_element<2>(r, [f, g, t = Types(r)](const KernelArgs& a, const auto& at, int64_t i) {
      a.output<bool>(0)[i] = t.floating ? f(t.x.load(a.in[0], at[0]), t.x.load(a.in[1], at[1]))
                                        : g(t.x.load_int(a.in[0], at[0]), t.x.load_int(a.in[1], at[1]));
    });
  });
}

}  // namespace reference

void reference_select(Kernel& kernel) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const auto move = [y = element_access(r.out[0].dtype), floating = is_floating(r.out[0].dtype)](
                          void* out, int64_t i, const void* in, int64_t from) {
      if (floating) {
        y.store(out, i, y.load(in, from));
      } else {
        y.store_int(out, i, y.load_int(in, from));
      }
    };
    return each_element<3>(r, [move](const KernelArgs& a, const auto& at, int64_t i) {
      const int from = a.input<uint8_t>(0)[at[0]] != 0 ? 1 : 2;
      move(a.out[0], i, a.in[from], at[from]);
    });
  });
}

void reference_cast(Kernel& kernel) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    return each_element<1>(r, [t = Types(r)](const KernelArgs& a, const auto& at, int64_t i) {
      if (t.floating) {
        t.y.store(a.out[0], i, t.x.load(a.in[0], at[0]));
      } else {
        t.y.store_int(a.out[0], i, t.x.load_int(a.in[0], at[0]));
      }
    });
  });
}

}  // namespace fovea
