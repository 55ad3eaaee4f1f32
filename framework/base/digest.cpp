#include "framework/base/digest.h"

#include <xxhash.h>

#include <cstring>

#include "framework/base/error.h"

namespace fovea {
namespace {

Digest canonical(XXH128_hash_t hash) {
  XXH128_canonical_t out;
  XXH128_canonicalFromHash(&out, hash);
  Digest d;
  static_assert(sizeof out.digest == sizeof d.bytes);
  std::memcpy(d.bytes.data(), out.digest, sizeof out.digest);
  return d;
}

size_t checked_size(int64_t size) {
  if (size < 0) invalid("digest of " + std::to_string(size) + " bytes");
  return static_cast<size_t>(size);
}

}  // namespace

struct Digester::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    if (!xxh) fail(ErrorKind::ResourceExhausted, "no memory for the state of a digest");
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
};

std::string Digest::hex() const {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (uint8_t b : bytes) {
    out += digits[b >> 4];
    out += digits[b & 15];
  }
  return out;
}

Digest digest(const void* data, int64_t size) { return canonical(XXH3_128bits(data, checked_size(size))); }

Digester::Digester() : state_(std::make_unique<State>()) {}
Digester::~Digester() = default;
Digester::Digester(Digester&&) noexcept = default;
Digester& Digester::operator=(Digester&&) noexcept = default;

void Digester::update(const void* data, int64_t size) {
  if (checked_size(size) > 0) XXH3_128bits_update(state_->xxh, data, checked_size(size));
}

Digest Digester::value() const { return canonical(XXH3_128bits_digest(state_->xxh)); }

}  // namespace fovea
