// Digests that catch accidental damage of stored bytes. Not a defence against forgery.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace fovea {

/// A 128-bit XXH3 digest, in canonical (big-endian) byte order.
struct Digest {
  std::array<uint8_t, 16> bytes{};

  bool operator==(const Digest&) const = default;
  /// 32 lower-case hexadecimal digits.
  std::string hex() const;
};

/// The digest of `size` bytes at `data`.
Digest digest(const void* data, int64_t size);
inline Digest digest(std::string_view text) { return digest(text.data(), static_cast<int64_t>(text.size())); }

/// The digest of bytes that come in pieces; equal to digest() of their concatenation.
class Digester {
 public:
  Digester();
  ~Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;

  void update(const void* data, int64_t size);
  /// The digest of everything so far; more may follow.
  Digest value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea
