// Files: bounded reading, atomic writing, mapping, and the one way to open a path that was named inside a
// file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fovea {

/// An open file descriptor that closes itself.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

/// Throws IO, or ResourceExhausted for a full disk, quota, memory or descriptor table:
/// "cannot <action> "<path>": <what the system says>".
[[noreturn]] void fail_errno(int error, std::string_view action, std::string_view path);

/// What read_file reads when the caller names no bound: 1 GiB.
inline constexpr int64_t kReadFileLimit = int64_t{1} << 30;

/// The whole of a file (or pipe). IO when it cannot be read, ResourceExhausted when it holds more than
/// `max_bytes`.
std::string read_file(const std::string& path, int64_t max_bytes = kReadFileLimit);

/// Replaces `path` by a file that holds `contents`, atomically (see AtomicFile).
void write_file(const std::string& path, std::string_view contents);

/// Opens `relative` for reading beneath `folder`: a regular file, reached without "..", without a link
/// anywhere on the way, and without an absolute path. Every path that was named inside a file goes through
/// here. InvalidArgument for a path of the wrong form; IO when the way leads out, over a link, or to no
/// regular file.
FileDescriptor open_beneath(const std::string& folder, const std::string& relative);

/// Random access to a regular file. Every read is held against the size the file had when it was opened.
class FileReader {
 public:
  explicit FileReader(const std::string& path);
  /// Reads from an open descriptor; `name` stands in messages.
  FileReader(FileDescriptor file, std::string name);

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }

  /// Fills `out` from `offset`. Corrupt, naming path, field, offset, asked and present bytes, when it is not
  /// there.
  void read(int64_t offset, void* out, int64_t bytes, std::string_view field) const;
  /// The same as text; the range is checked before anything is allocated.
  std::string read_text(int64_t offset, int64_t bytes, std::string_view field) const;
  /// Throws as read() would if [offset, offset + bytes) is not within the file.
  void check_range(int64_t offset, int64_t bytes, std::string_view field) const;

 private:
  FileDescriptor file_;
  std::string path_;
  int64_t size_ = 0;
};

/// A regular file mapped read-only. Saving over the path with AtomicFile leaves the mapping as it was;
/// another program that shortens the file in place makes reading it fault, so mapping is for files one
/// trusts.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(FileDescriptor file, std::string name);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  const std::byte* data() const { return data_; }
  int64_t size() const { return size_; }
  /// The bytes at [offset, offset + bytes); Corrupt, naming path, field and numbers, when they are not there.
  std::span<const std::byte> range(int64_t offset, int64_t bytes, std::string_view field) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

/// A file that grows at its end: logs. Each append() is one write to the system, so that a reader never waits
/// for a buffer and a killed process loses nothing it wrote. Not durable against loss of power.
class AppendFile {
 public:
  /// Opens `path` for appending; makes it when it is not there.
  explicit AppendFile(const std::string& path);

  const std::string& path() const { return path_; }
  void append(std::string_view bytes);

 private:
  FileDescriptor file_;
  std::string path_;
};

/// Writes a file so that its path holds, at every moment and after a crash, either the old contents or all of
/// the new. The bytes go to a hidden temporary in the same folder; commit() makes them durable and puts them
/// in place. A failed step throws IO (ResourceExhausted for a full disk or quota) with path, offset, asked
/// bytes and the system's reason. A link at `path` is followed; permissions of an old file are kept.
/// Temporaries that a killed process left behind are removed by the next writer of the same path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  AtomicFile(const AtomicFile&) = delete;
  /// Without commit() the temporary is removed and the old file stays.
  ~AtomicFile();

  void write(const void* data, int64_t bytes);
  void write(std::string_view text) { write(text.data(), static_cast<int64_t>(text.size())); }
  /// Zeros up to the next multiple of `alignment` (>= 1).
  void pad_to(int64_t alignment);
  /// Bytes written so far.
  int64_t offset() const { return written_ + static_cast<int64_t>(buffer_.size()); }
  const std::string& path() const { return path_; }

  /// Flush, fsync, rename, fsync of the folder. Once; nothing can be written afterwards.
  void commit();

 private:
  enum class State : uint8_t { open, failed, committed };
  void create_temporary();
  void require_open() const;
  void flush();
  void write_through(const char* data, int64_t bytes);
  [[noreturn]] void fail_step(int error, std::string_view action);

  std::string path_;       // as it is written in messages
  std::string name_;       // the file's name within folder_
  std::string temporary_;  // the temporary's name within folder_; empty when there is none
  FileDescriptor folder_;
  FileDescriptor file_;
  std::string buffer_;
  int64_t written_ = 0;
  State state_ = State::open;
};

}  // namespace fovea
