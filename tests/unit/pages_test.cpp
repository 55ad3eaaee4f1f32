#include "framework/runtime/pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "tests/unit/array_test_util.h"

namespace fovea {
namespace {

constexpr int64_t kPage = 4096;

int64_t resident_pages(const Buffer& buffer) {
  std::vector<unsigned char> in_core(static_cast<size_t>(buffer.bytes() / kPage));
  EXPECT_EQ(mincore(buffer.data(), static_cast<size_t>(buffer.bytes()), in_core.data()), 0);
  return std::count_if(in_core.begin(), in_core.end(), [](unsigned char c) { return c & 1; });
}

TEST(Pages, AreAllThereAndStillZeros) {
  const auto buffer = Buffer::zeros(9 << 20);
  EXPECT_EQ(resident_pages(*buffer), 0);
  take_pages(*buffer);
  EXPECT_EQ(resident_pages(*buffer), buffer->bytes() / kPage);
  const char* data = static_cast<const char*>(buffer->data());
  EXPECT_TRUE(std::all_of(data, data + buffer->bytes(), [](char c) { return c == 0; }));
}

TEST(Pages, OfARangeAreTakenAndOthersLeft) {
  const auto buffer = Buffer::zeros(2 << 20);
  buffer->take_pages(kPage - 1, 2 * kPage + 1);
  EXPECT_EQ(resident_pages(*buffer), 2);
  test::expect_invalid([&] { buffer->take_pages(kPage, buffer->bytes()); },
                       "from 4096 of a buffer of 2097152");
}

}  // namespace
}  // namespace fovea
