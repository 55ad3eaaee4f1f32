// A walk over one message in Protobuf's wire format, without parsing what is inside its fields. Files are
// walked first, so that nothing is allocated that the file does not pay for with bytes of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "graph/serial/layout_internal.h"

namespace fovea::serial {

/// One field: its number, its bytes with the tag, and for text, bytes, messages and packed lists the
/// contents.
struct WireField {
  uint32_t number = 0;
  std::string_view whole, payload;
  int64_t offset = 0;  ///< of the payload in the file
};

/// Corrupt, naming path and offset, for bytes that are no message.
class WireReader {
 public:
  WireReader(const std::string& path, std::string_view message, int64_t offset, std::string_view what)
      : path_(path), message_(message), offset_(offset), what_(what) {}

  bool next(WireField& field) {
    if (at_ == message_.size()) return false;
    const size_t start = at_;
    const uint64_t tag = varint();
    if (tag >> 32 || tag >> 3 == 0) error("the tag " + std::to_string(tag) + " is no field");
    field.number = static_cast<uint32_t>(tag >> 3);
    uint64_t length = 0;
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 1:
        length = 8;
        break;
      case 2:
        length = varint();
        break;
      case 5:
        length = 4;
        break;
      default:
        error("field " + std::to_string(field.number) + " is of wire type " + std::to_string(tag & 7));
    }
    if (length > message_.size() - at_)
      error("field " + std::to_string(field.number) + " has " + std::to_string(length) + " bytes, " +
            std::to_string(message_.size() - at_) + " are left");
    field.payload = message_.substr(at_, static_cast<size_t>(length));
    field.offset = offset_ + static_cast<int64_t>(at_);
    at_ += static_cast<size_t>(length);
    field.whole = message_.substr(start, at_ - start);
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == message_.size()) error("a number is cut off");
      const auto byte = static_cast<unsigned char>(message_[at_++]);
      value |= static_cast<uint64_t>(byte & 127) << (shift < 64 ? shift : 63);
      if (byte < 128) return value;
    }
    error("a number has more than 10 bytes");
  }
  [[noreturn]] void error(const std::string& text) {
    fail_at(ErrorKind::Corrupt, path_, offset_ + static_cast<int64_t>(at_), what_, text);
  }

  const std::string& path_;
  std::string_view message_;
  int64_t offset_;
  std::string_view what_;
  size_t at_ = 0;
};

/// Appends a field of wire type 2.
inline void append_field(std::string& out, uint32_t number, std::string_view payload) {
  auto varint = [&out](uint64_t v) {
    for (; v >= 128; v >>= 7) out += static_cast<char>(v | 128);
    out += static_cast<char>(v);
  };
  varint(uint64_t{number} << 3 | 2);
  varint(payload.size());
  out += payload;
}

}  // namespace fovea::serial
