// safetensors: named tensors in one file, exchanged with other programs.
// Format: https://github.com/huggingface/safetensors
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "framework/tensor/array.h"

namespace fovea {

/// All tensors of a file, in the order of their data. Element types F64, F32, F16, BF16, I64, I32, I16, I8,
/// U8 and BOOL; any other is Unsupported. Corrupt with path, field and numbers for a header that does not fit
/// the file, and for tensors that overlap or leave holes. `metadata`, if given, receives the file's
/// "__metadata__".
std::vector<std::pair<std::string, Array>> load_safetensors(
    const std::string& path, std::map<std::string, std::string>* metadata = nullptr);

/// Writes tensors (names distinct) and metadata (UTF-8 text) atomically. Data is aligned to its element size.
void save_safetensors(const std::string& path, const std::vector<std::pair<std::string, Array>>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace fovea
