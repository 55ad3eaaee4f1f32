// The one error type. Everything that can go wrong in the public API is thrown as fovea::Error; nothing
// aborts.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace fovea {

/// What kind of thing went wrong; programs branch on this, people read what().
enum class ErrorKind {
  InvalidArgument,    ///< the caller passed something that breaks a rule (shape, dtype, range, state)
  Corrupt,            ///< a file or message is damaged or is not what it claims to be
  Unsupported,        ///< legal, but this build or device cannot do it
  ResourceExhausted,  ///< memory, disk or another resource ran out
  VersionMismatch,    ///< a file, plug-in or op is of a version that cannot be used here
  BackendFault,       ///< a device or kernel failed while running
  Cancelled,          ///< the caller or a signal asked to stop
  IO,                 ///< the operating system refused a read or write
};

/// The name of a kind as it is written in messages, for example "InvalidArgument".
std::string_view to_string(ErrorKind kind);

/// A typed error. what() is "Kind: message", with control bytes escaped, at most 2 KiB.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string_view message);

  ErrorKind kind() const { return kind_; }
  /// The message without the kind in front.
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return what_.c_str(); }

  /// The same error with a further line of context behind it (op, node, user's file and line, a hint).
  Error with_context(std::string_view line) const;

 private:
  ErrorKind kind_;
  std::string message_;
  std::string what_;
};

/// Throws Error{kind, message}.
[[noreturn]] void fail(ErrorKind kind, std::string_view message);

/// Throws InvalidArgument with `message`.
[[noreturn]] void invalid(std::string_view message);

}  // namespace fovea
