#include "ops/core/rand_bits/rand_bits.h"

#include "ops/shared/random_kernel.h"

namespace fovea {
namespace {

// One block of four words, as in ops/shared/simd/random.h.
void four_words(const simd::RandomStream& s, uint64_t block, uint32_t out[4]) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const uint32_t step[4] = {low(s.step), high(s.step), 0x65766F46u, 0}, key[2] = {low(s.key), high(s.key)};
  uint32_t step_key[4];
  simd::philox4x32_10(step, key, step_key);
  const uint32_t counter[4] = {low(block), high(block), low(s.ordinal), high(s.ordinal)};
  simd::philox4x32_10(counter, step_key, out);
}

}  // namespace

FOVEA_OP(rand_bits) {
  declare_random(op)
      .doc("32 random bits an element, as i32: Philox4x32-10 keyed by (key, step), one stream an ordinal.")
      .infer([](InferContext& c) { infer_random(c, DType::i32); })
      .sample({ints({2}, 0, 100)}, {{"shape", Shape{2, 5}}})
      .sample({ints({2}, 0, 100)}, {{"shape", Shape{}}, {"ordinal", 3}})
      .sample_error({ints({3}, 0, 100)}, {{"shape", Shape{2}}}, "key must have 2 elements (key, step), got 3")
      .sample_error({ints({2}, 0, 100)}, {{"shape", Shape{2}}, {"ordinal", -1}}, "ordinal -1 is negative");
}

FOVEA_KERNEL(reference, rand_bits, loops) {
  kernel.priority(0).prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    return make_prepared([n = r.out[0].size(), ordinal = r.attrs.integer("ordinal")](const KernelArgs& args) {
      const auto stream = random_stream(args.in[0], ordinal);
      uint32_t words[4] = {};
      for (int64_t i = 0; i < n; ++i) {
        if (i % 4 == 0) four_words(stream, static_cast<uint64_t>(i / 4), words);
        args.output<int32_t>(0)[i] = static_cast<int32_t>(words[i % 4]);
      }
    });
  });
}

FOVEA_KERNEL(cpu, rand_bits, simd) { random_kernel(kernel, simd::random_bits); }

Tensor rand_bits(const Arg& key, Shape shape) {
  return rand_bits(key, std::move(shape), next_ordinal(to_tensor(key, DType::i64)));
}
Tensor rand_bits(const Arg& key, Shape shape, int64_t ordinal) {
  return apply1("rand_bits", {to_tensor(key, DType::i64)},
                {{"shape", std::move(shape)}, {"ordinal", ordinal}}, key.source);
}

}  // namespace fovea
