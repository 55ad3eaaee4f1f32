// The texts of errors.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "framework/base/error.h"

namespace fovea::test {

/// What f() throws, with its kind in front; "" where it throws nothing.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// The same of f() that throws InvalidArgument; "no error" where it throws nothing.
template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::InvalidArgument);
    return e.what();
  }
  return "no error";
}

inline void expect_has(const std::string& text, const std::string& part, int line) {
  EXPECT_NE(text.find(part), std::string::npos)
      << "line " << line << ": \"" << text << "\" holds no \"" << part << '"';
}
#define EXPECT_HAS(text, part) fovea::test::expect_has(text, part, __LINE__)

}  // namespace fovea::test
