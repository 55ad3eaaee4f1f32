#include "framework/backend/cpu/instruction_set.h"

#include <cstdlib>
#include <dnnl.hpp>
#include <string>
#include <string_view>

#include "framework/base/error.h"
#include "hwy/targets.h"

namespace fovea {
namespace {

struct InstructionSet {
  const char* name;
  int64_t highway;  // the targets to leave out
  dnnl::cpu_isa onednn;
};

// Highway numbers the sets of a processor family from the best down, a bit each.
constexpr InstructionSet kSets[] = {
    {"sse4", HWY_SSE4 - 1, dnnl::cpu_isa::sse41},
    {"avx2", HWY_AVX2 - 1, dnnl::cpu_isa::avx2},
    {"avx512", 0, dnnl::cpu_isa::all},
};

}  // namespace

void apply_instruction_set_limit() {
  const char* text = std::getenv("FOVEA_MAX_ISA");
  if (text == nullptr || *text == '\0') return;
  const std::string_view asked(text);
  for (const InstructionSet& set : kSets)
    if (asked == set.name) {
      hwy::DisableTargets(set.highway);
      // Refused only when oneDNN has chosen already: a host program that uses it too keeps its choice.
      dnnl_set_max_cpu_isa(static_cast<dnnl_cpu_isa_t>(set.onednn));
      return;
    }
  invalid("FOVEA_MAX_ISA is '" + std::string(asked.substr(0, 40)) + "'; it must be sse4, avx2 or avx512");
}

}  // namespace fovea
