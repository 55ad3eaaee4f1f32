#include "framework/base/error.h"

namespace fovea {
namespace {

constexpr size_t kMaxMessage = 2048 - 32;

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (unsigned char c : text) {
    if (out.size() >= kMaxMessage) {
      // Cut on a character boundary: a continuation byte of UTF-8 starts with bits 10.
      while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
      out += "...";
      break;
    }
    if (c < 0x20 && c != '\n') {
      constexpr char hex[] = "0123456789abcdef";
      out += "\\x";
      out += hex[c >> 4];
      out += hex[c & 15];
    } else if (c == 0x7F) {
      out += "\\x7f";
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

}  // namespace

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::InvalidArgument:
      return "InvalidArgument";
    case ErrorKind::Corrupt:
      return "Corrupt";
    case ErrorKind::Unsupported:
      return "Unsupported";
    case ErrorKind::ResourceExhausted:
      return "ResourceExhausted";
    case ErrorKind::VersionMismatch:
      return "VersionMismatch";
    case ErrorKind::BackendFault:
      return "BackendFault";
    case ErrorKind::Cancelled:
      return "Cancelled";
    case ErrorKind::IO:
      return "IO";
  }
  return "Error";
}

Error::Error(ErrorKind kind, std::string_view message) : kind_(kind), message_(printable(message)) {
  what_ = std::string(to_string(kind)) + ": " + message_;
}

Error Error::with_context(std::string_view line) const {
  return Error(kind_, message_ + "\n  " + std::string(line));
}

void fail(ErrorKind kind, std::string_view message) { throw Error(kind, message); }
void invalid(std::string_view message) { throw Error(ErrorKind::InvalidArgument, message); }

}  // namespace fovea
