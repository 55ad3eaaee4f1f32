#include "ops/composite/gru_cell/gru_cell.h"

#include "ops/composite/linear/linear.h"
#include "ops/composite/sigmoid/sigmoid.h"
#include "ops/core/concat/concat.h"
#include "ops/core/tanh/tanh.h"
#include "ops/shared/gates.h"
#include "ops/shared/gradients.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/gates.h"

namespace fovea {
namespace {

struct Gates {
  Gates(const Tensor& x, const Tensor& h, const Dim& width)
      : h_n(gate(h, 2, width)),
        r(sigmoid(gate(x, 0, width) + gate(h, 0, width))),
        z(sigmoid(gate(x, 1, width) + gate(h, 1, width))),
        n(tanh(gate(x, 2, width) + r * h_n)) {}
  Tensor h_n, r, z, n;
};

}  // namespace

FOVEA_OP(gru_cell) {
  op.doc(
        "One step of a gated recurrent unit (Cho et al. 2014) in PyTorch's form: gru_gates(x w_ih^T + b_ih, "
        "h w_hh^T + b_hh, h). Rows of the weights come in the order r, z, n.")
      .input("x", Types::floating)
      .input("h", Types::floating)
      .input("w_ih", Types::floating)
      .input("w_hh", Types::floating)
      .optional_input("b_ih", Types::floating)
      .optional_input("b_hh", Types::floating)
      .infer([](InferContext& c) {
        c.same_dtype(0, 1);
        if (c.rank(1) < 1) c.fail("h has rank 0, it needs a feature axis");
        check_cell_weight(c, 0, 2, 1, 3);
        check_cell_weight(c, 1, 3, 1, 3);
        if (c.in.size() == 5) c.fail("b_hh is missing beside b_ih");
        for (size_t i = 4; i < c.in.size(); ++i) check_cell_bias(c, i, 1, 3);
        c.output(c.in[1]);
      })
      .decompose([](const OpArgs& a) {
        const bool biased = a.in.size() > 4;
        return Tensors{gru_gates(linear(a.in[0], a.in[2], biased ? a.in[4] : Tensor()),
                                 linear(a.in[1], a.in[3], biased ? a.in[5] : Tensor()), a.in[1])};
      })
      .sample({In{2, 4}, In{2, 3}, In{9, 4}, In{9, 3}})
      .sample({In{2, 4}, In{2, 3}, In{9, 4}, In{9, 3}, In{9}, In{9}})
      .sample_error({In{2, 4}, In{2, 3}, In{9, 5}, In{9, 3}}, {}, "w_ih has 5 columns, x has 4 features")
      .sample_error({In{2, 4}, In{2, 3}, In{8, 4}, In{9, 3}}, {},
                    "w_ih has 8 rows, 3 gates of this state are 9");
}

FOVEA_OP(gru_gates) {
  op.doc(
        "r = s(x_r + h_r), z = s(x_z + h_z), n = tanh(x_n + r h_n), y = (1 - z) n + z h: the gates of "
        "gru_cell.")
      .input("gates_x", Types::floating)
      .input("gates_h", Types::floating)
      .input("h", Types::floating)
      .infer([](InferContext& c) {
        check_gates(c, 0, 2, 3);
        check_gates(c, 1, 2, 3);
        c.output(c.in[2]);
      })
      .decompose([](const OpArgs& a) {
        const Gates g(a.in[0], a.in[1], a.in[2].dim(-1));
        return Tensors{g.n + g.z * (a.in[2] - g.n)};
      })
      .gradient([](const GradArgs& a) {
        return apply("gru_gates_backward", {a.in[0], a.in[1], a.in[2], a.grad[0]});
      })
      .sample({In{2, 9}, In{2, 9}, In{2, 3}})
      .sample_error({In{2, 9}, In{2, 8}, In{2, 3}}, {}, "axis 1 of gates_h is 8, h asks for 9");
}

FOVEA_OP(gru_gates_backward) {
  op.doc("The gradients of gru_gates by its three operands, from the gradient g of its result.")
      .input("gates_x", Types::floating)
      .input("gates_h", Types::floating)
      .input("h", Types::floating)
      .input("g", Types::floating)
      .output("dgates_x")
      .output("dgates_h")
      .output("dh")
      .infer([](InferContext& c) {
        check_gates(c, 0, 2, 3);
        check_gates(c, 1, 2, 3);
        c.same_dtype(2, 3);
        c.same_shape(2, 3);
        for (int i = 0; i < 3; ++i) c.output(c.in[i]);
      })
      .decompose([](const OpArgs& a) {
        const Gates v(a.in[0], a.in[1], a.in[2].dim(-1));
        const Tensor& g = a.in[3];
        const Tensor dz = g * (a.in[2] - v.n) * (v.z * (1.0 - v.z));
        const Tensor dn = g * (1.0 - v.z) * (1.0 - v.n * v.n);
        const Tensor dr = dn * v.h_n * (v.r * (1.0 - v.r));
        return Tensors{concat({dr, dz, dn}, -1), concat({dr, dz, dn * v.r}, -1), g * v.z};
      })
      .sample({In{2, 9}, In{2, 9}, In{2, 3}, In{2, 3}})
      .sample_error({In{2, 9}, In{2, 9}, In{2, 3}, In{2, 2}}, {}, "h and g differ in shape");
}

FOVEA_KERNEL(cpu, gru_gates, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16})
      .in_place(2)
      .prepare([](const KernelRequest& r) {
        const RowSizes size(r.in[2].shape, 1);
        const int64_t bytes = size.n * size_of(r.in[2].dtype);
        const auto gru = simd::gate_kernels(r.in[2].dtype)->gru;
        return make_prepared([=, blocks = size.blocks(2048)](const KernelArgs& args) {
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            const int64_t at = begin * bytes;
            gru(args.input<char>(0) + 3 * at, args.input<char>(1) + 3 * at, args.input<char>(2) + at,
                args.output<char>(0) + at, static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
          });
        });
      });
}

FOVEA_KERNEL(cpu, gru_gates_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16}).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[2].shape, 1);
    const int64_t bytes = size.n * size_of(r.in[2].dtype);
    const auto backward = simd::gate_kernels(r.in[2].dtype)->gru_backward;
    return make_prepared([=, blocks = size.blocks(2048)](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * bytes;
        backward(args.input<char>(0) + 3 * at, args.input<char>(1) + 3 * at, args.input<char>(2) + at,
                 args.input<char>(3) + at, args.output<char>(0) + 3 * at, args.output<char>(1) + 3 * at,
                 args.output<char>(2) + at, static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
      });
    });
  });
}

Tensor gru_cell(const Tensor& x, const Tensor& h, const Tensor& w_ih, const Tensor& w_hh, const Tensor& b_ih,
                const Tensor& b_hh, Source source) {
  return apply1("gru_cell", {x, h, w_ih, w_hh, b_ih, b_hh}, {}, source);
}
Tensor gru_gates(const Tensor& gates_x, const Tensor& gates_h, const Tensor& h, Source source) {
  return apply1("gru_gates", {gates_x, gates_h, h}, {}, source);
}

}  // namespace fovea
