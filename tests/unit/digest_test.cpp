// Digests: known values, pieces, flipped bits.
#include "framework/base/digest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "framework/base/error.h"
#include "tests/support/errors.h"

namespace fovea {
namespace {

using test::error_of;

// Published vectors of XXH3-128 with seed 0.
TEST(DigestTest, KnownVectors) {
  EXPECT_EQ(digest("").hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digest("a").hex(), "a96faf705af16834e6c632b61e964e1f");
  EXPECT_EQ(digest("abc").hex(), "06b05ab6733a618578af5f94892f3950");
}

TEST(DigestTest, PiecesGiveTheSameAsTheWhole) {
  std::string text(100000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i / 7);
  for (size_t step : {1, 7, 64, 255, 256, 257, 1024, 99999}) {
    Digester pieces;
    for (size_t i = 0; i < text.size(); i += step) {
      pieces.update(text.data() + i, static_cast<int64_t>(std::min(step, text.size() - i)));
    }
    EXPECT_EQ(pieces.value(), digest(text)) << step;
  }
  EXPECT_EQ(Digester().value(), digest(""));
}

TEST(DigestTest, AnyFlippedBitChangesIt) {
  for (size_t size : {1, 16, 128, 240, 241, 2000}) {
    std::string text(size, 'x');
    const Digest good = digest(text);
    for (size_t bit = 0; bit < size * 8; ++bit) {
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
      EXPECT_NE(digest(text), good) << size << " " << bit;
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    }
  }
}

TEST(DigestTest, NegativeSizesAreRefused) {
  EXPECT_HAS(error_of([] { digest("x", -1); }), "digest of -1 bytes");
  EXPECT_HAS(error_of([] { Digester().update("x", -1); }), "digest of -1 bytes");
}

}  // namespace
}  // namespace fovea
