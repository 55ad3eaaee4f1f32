// Files that may be packed with gzip, as many data sets are.
#pragma once

#include <cstdint>
#include <string>

namespace fovea::data {

/// What a data file may hold after unpacking, when the caller names no bound: 4 GiB.
inline constexpr int64_t kMaxDataBytes = int64_t{4} << 30;

/// The bytes of `path`, unpacked when it starts like a gzip file. IO when it cannot be read,
/// ResourceExhausted when it holds more than `max_bytes`, Corrupt with the offset when the packed data is
/// damaged.
std::string read_gzip_or_plain(const std::string& path, int64_t max_bytes = kMaxDataBytes);

}  // namespace fovea::data
