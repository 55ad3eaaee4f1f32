#include "ops/composite/lstm_cell/lstm_cell.h"

#include "ops/composite/linear/linear.h"
#include "ops/composite/sigmoid/sigmoid.h"
#include "ops/core/concat/concat.h"
#include "ops/core/full/full.h"
#include "ops/core/tanh/tanh.h"
#include "ops/shared/gates.h"
#include "ops/shared/gradients.h"
#include "ops/shared/norms.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/gates.h"

namespace fovea {
namespace {

struct Gates {
  Gates(const Tensor& gates, const Tensor& c)
      : i(sigmoid(gate(gates, 0, c.dim(-1)))),
        f(sigmoid(gate(gates, 1, c.dim(-1)))),
        g(tanh(gate(gates, 2, c.dim(-1)))),
        o(sigmoid(gate(gates, 3, c.dim(-1)))),
        next(f * c + i * g) {}
  Tensor i, f, g, o, next;
};

}  // namespace

FOVEA_OP(lstm_cell) {
  op.doc(
        "One step of a long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates) in "
        "PyTorch's form: lstm_gates(x w_ih^T + b_ih + h w_hh^T + b_hh, c). Rows of the weights come in the "
        "order i, f, g, o.")
      .input("x", Types::floating)
      .input("h", Types::floating)
      .input("c", Types::floating)
      .input("w_ih", Types::floating)
      .input("w_hh", Types::floating)
      .optional_input("b_ih", Types::floating)
      .optional_input("b_hh", Types::floating)
      .output("h_next")
      .output("c_next")
      .infer([](InferContext& c) {
        c.same_dtype(0, 1);
        c.same_dtype(1, 2);
        c.same_shape(1, 2);
        if (c.rank(1) < 1) c.fail("h has rank 0, it needs a feature axis");
        check_cell_weight(c, 0, 3, 1, 4);
        check_cell_weight(c, 1, 4, 1, 4);
        if (c.in.size() == 6) c.fail("b_hh is missing beside b_ih");
        for (size_t i = 5; i < c.in.size(); ++i) check_cell_bias(c, i, 1, 4);
        c.output(c.in[1]);
        c.output(c.in[2]);
      })
      .decompose([](const OpArgs& a) {
        const bool biased = a.in.size() > 5;
        const LstmState next = lstm_gates(linear(a.in[0], a.in[3], biased ? a.in[5] : Tensor()) +
                                              linear(a.in[1], a.in[4], biased ? a.in[6] : Tensor()),
                                          a.in[2]);
        return Tensors{next.h, next.c};
      })
      .sample({In{2, 4}, In{2, 3}, In{2, 3}, In{12, 4}, In{12, 3}})
      .sample({In{2, 4}, In{2, 3}, In{2, 3}, In{12, 4}, In{12, 3}, In{12}, In{12}})
      .sample_error({In{2, 4}, In{2, 3}, In{2, 2}, In{12, 4}, In{12, 3}}, {}, "h and c differ in shape")
      .sample_error({In{2, 4}, In{2, 3}, In{2, 3}, In{9, 4}, In{12, 3}}, {},
                    "w_ih has 9 rows, 4 gates of this state are 12");
}

FOVEA_OP(lstm_gates) {
  op.doc("c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c') from gates [..., 4H] in the order i, f, g, o.")
      .input("gates", Types::floating)
      .input("c", Types::floating)
      .output("h_next")
      .output("c_next")
      .infer([](InferContext& c) {
        check_gates(c, 0, 1, 4);
        c.output(c.in[1]);
        c.output(c.in[1]);
      })
      .decompose([](const OpArgs& a) {
        const Gates v(a.in[0], a.in[1]);
        return Tensors{v.o * tanh(v.next), v.next};
      })
      .gradient([](const GradArgs& a) {
        return apply("lstm_gates_backward",
                     {a.in[0], a.in[1], or_zeros(a.grad[0], a.out[0]), or_zeros(a.grad[1], a.out[1])});
      })
      .sample({In{2, 12}, In{2, 3}})
      .sample_error({In{2, 9}, In{2, 3}}, {}, "axis 1 of gates is 9, c asks for 12");
}

FOVEA_OP(lstm_gates_backward) {
  op.doc("The gradients of lstm_gates by gates and c, from those of its results.")
      .input("gates", Types::floating)
      .input("c", Types::floating)
      .input("dh_next", Types::floating)
      .input("dc_next", Types::floating)
      .output("dgates")
      .output("dc")
      .infer([](InferContext& c) {
        check_gates(c, 0, 1, 4);
        for (size_t i : {2, 3}) {
          c.same_dtype(1, i);
          c.same_shape(1, i);
        }
        c.output(c.in[0]);
        c.output(c.in[1]);
      })
      .decompose([](const OpArgs& a) {
        const Gates v(a.in[0], a.in[1]);
        const Tensor& dh = a.in[2];
        const Tensor t = tanh(v.next);
        const Tensor ds = a.in[3] + dh * v.o * (1.0 - t * t);
        const Tensor di = ds * v.g * (v.i * (1.0 - v.i)), df = ds * a.in[1] * (v.f * (1.0 - v.f));
        const Tensor dg = ds * v.i * (1.0 - v.g * v.g), d_o = dh * t * (v.o * (1.0 - v.o));
        return Tensors{concat({di, df, dg, d_o}, -1), ds * v.f};
      })
      .sample({In{2, 12}, In{2, 3}, In{2, 3}, In{2, 3}})
      .sample_error({In{2, 12}, In{2, 3}, In{2, 2}, In{2, 3}}, {}, "c and dh_next differ in shape");
}

FOVEA_KERNEL(cpu, lstm_gates, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16})
      .in_place(1, 1)
      .prepare([](const KernelRequest& r) {
        const RowSizes size(r.in[1].shape, 1);
        const int64_t bytes = size.n * size_of(r.in[1].dtype);
        const auto lstm = simd::gate_kernels(r.in[1].dtype)->lstm;
        return make_prepared([=, blocks = size.blocks(2048)](const KernelArgs& args) {
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            const int64_t at = begin * bytes;
            lstm(args.input<char>(0) + 4 * at, args.input<char>(1) + at, args.output<char>(0) + at,
                 args.output<char>(1) + at, static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
          });
        });
      });
}

FOVEA_KERNEL(cpu, lstm_gates_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16}).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[1].shape, 1);
    const int64_t bytes = size.n * size_of(r.in[1].dtype);
    const auto backward = simd::gate_kernels(r.in[1].dtype)->lstm_backward;
    return make_prepared([=, blocks = size.blocks(2048)](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * bytes;
        backward(args.input<char>(0) + 4 * at, args.input<char>(1) + at, args.input<char>(2) + at,
                 args.input<char>(3) + at, args.output<char>(0) + 4 * at, args.output<char>(1) + at,
                 static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
      });
    });
  });
}

LstmState lstm_cell(const Tensor& x, const LstmState& state, const Tensor& w_ih, const Tensor& w_hh,
                    const Tensor& b_ih, const Tensor& b_hh, Source source) {
  const Tensors out = apply("lstm_cell", {x, state.h, state.c, w_ih, w_hh, b_ih, b_hh}, {}, source);
  return {out[0], out[1]};
}
LstmState lstm_gates(const Tensor& gates, const Tensor& c, Source source) {
  const Tensors out = apply("lstm_gates", {gates, c}, {}, source);
  return {out[0], out[1]};
}

}  // namespace fovea
