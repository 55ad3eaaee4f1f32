// The widest instruction set that kernels may use.
#pragma once

namespace fovea {

/// Limits our own kernels and oneDNN to the instruction set that the environment variable FOVEA_MAX_ISA
/// names: sse4, avx2 or avx512; without it they use the widest that the processor has. To be called before
/// the first kernel. Results of different instruction sets may differ in rounding. Throws InvalidArgument for
/// another value.
void apply_instruction_set_limit();

}  // namespace fovea
