// FOVEA_VERBOSE=dispatch: which kernel runs every op, and which were passed over.
#pragma once

#include <string>

#include "framework/backend/prepared.h"
#include "framework/base/source.h"

namespace fovea {

/// True where the variable FOVEA_VERBOSE names "dispatch" (names are separated by commas).
bool dispatch_is_verbose();

/// "matmul f32[2, 3], f32[3, 4] -> f32[2, 4] at model.cpp:7: kernel onednn; passed over: ..." in one or more
/// lines.
std::string dispatch_text(const KernelRequest& request, const std::string& backend, const std::string& kernel,
                          const Source& source);

/// Writes it to standard error.
void report_dispatch(const KernelRequest& request, const std::string& backend, const std::string& kernel,
                     const Source& source);

}  // namespace fovea
