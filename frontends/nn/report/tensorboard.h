// Event files that TensorBoard shows: scalars and pictures.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "framework/base/file.h"

namespace fovea::nn {

/// CRC-32C (Castagnoli) of `bytes`.
uint32_t crc32c(std::string_view bytes);
/// The checksum of the record format: crc32c turned right by 15 bits, plus 0xa282ead8.
uint32_t masked_crc32c(std::string_view bytes);

/// Writes one event file into a run's folder; each event reaches the file at once. Several files in one
/// folder are one run, so a resumed run opens a new one.
class EventWriter {
 public:
  /// Makes `folder` (and its parents) when it is not there. With resume_step >= 0 TensorBoard drops what
  /// earlier files hold from steps after it.
  explicit EventWriter(const std::string& folder, int64_t resume_step = -1);

  /// A value of the curve `tag` ("train/loss") at `step`.
  void scalar(std::string_view tag, int64_t step, double value);
  /// A picture, encoded as PNG, of width x height pixels.
  void image(std::string_view tag, int64_t step, int64_t width, int64_t height, std::string_view png);

  const std::string& path() const { return file_->path(); }

 private:
  void write_event(std::string_view fields);
  void write_record(std::string_view record);

  std::unique_ptr<AppendFile> file_;
};

}  // namespace fovea::nn
