#include "optim/lower/dispatch.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace fovea {

bool dispatch_is_verbose() {
  const char* value = std::getenv("FOVEA_VERBOSE");
  if (!value) return false;
  std::string_view names = value;
  while (!names.empty()) {
    const size_t comma = names.find(',');
    if (names.substr(0, comma) == "dispatch") return true;
    if (comma == std::string_view::npos) break;
    names.remove_prefix(comma + 1);
  }
  return false;
}

std::string dispatch_text(const KernelRequest& request, const std::string& backend, const std::string& kernel,
                          const Source& source) {
  std::string text = request.op + " " + operands_text(request);
  if (*source.file) text += std::string(" at ") + source.file + ":" + std::to_string(source.line);
  text += kernel.empty() ? ": no kernel" : ": kernel " + kernel;
  for (const std::string& why : refusals(backend, request)) text += "\n  passed over " + why;
  return text + "\n";
}

void report_dispatch(const KernelRequest& request, const std::string& backend, const std::string& kernel,
                     const Source& source) {
  const std::string text = dispatch_text(request, backend, kernel, source);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace fovea
