// NumPy's .npy files: one array each. Format:
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>

#include "framework/tensor/array.h"

namespace fovea {

/// The array in a file. Little-endian numbers of the types Fovea has (f64, f32, f16, i64, i32, i16, i8, u8,
/// bool); any other is Unsupported. Corrupt with path and numbers for a header that does not fit the file.
Array load_npy(const std::string& path);

/// Writes an array atomically. bf16 is written as f32, since NumPy has no such type.
void save_npy(const std::string& path, const Array& array);

}  // namespace fovea
