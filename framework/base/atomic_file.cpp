// AtomicFile: temporary, fsync, rename, fsync of the folder.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "framework/base/file_faults.h"

namespace fovea {
namespace {

constexpr size_t kBuffer = 256 * 1024;             // small writes are gathered
constexpr int64_t kMostAtOnce = 16 * 1024 * 1024;  // a long write is interruptible between pieces

// Where a link at `path` leads, so that the link stays and its target is replaced.
std::string resolve_link(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return path;
  char* real = ::realpath(path.c_str(), nullptr);
  if (!real) fail_errno(errno, "follow the link", path);
  std::string out = real;
  std::free(real);
  return out;
}

// Hidden, next to the file, and the same for every writer of that file. Long names are cut to leave room.
std::string temporary_prefix(const std::string& name) { return "." + name.substr(0, 180) + ".tmp-"; }

bool lock_now(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB) == 0; }

// A writer holds a lock on its temporary; one that can be locked belongs to a writer that was killed.
void remove_abandoned(int folder, const std::string& prefix) {
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = copy >= 0 ? ::fdopendir(copy) : nullptr;
  if (!entries) {
    if (copy >= 0) ::close(copy);
    return;  // tidying up is not worth a failed save
  }
  while (const dirent* entry = ::readdir(entries)) {
    if (std::string_view(entry->d_name).substr(0, prefix.size()) != prefix) continue;
    const FileDescriptor file(
        ::openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info;
    if (file.valid() && ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) && lock_now(file.get()))
      ::unlinkat(folder, entry->d_name, 0);
  }
  ::closedir(entries);
}

// The injected errno, or that of fsync; 0 when the bytes are safe.
int sync_now(int fd) {
  for (;;) {
    int error = next_fault(FileStep::fsync);
    if (error <= 0) error = ::fsync(fd) == 0 ? 0 : errno;
    if (error != EINTR) return error;
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  if (path.empty()) invalid("the path of a file to write is empty");
  if (path.find('\0') != std::string::npos) invalid("the path \"" + path + "\" holds a zero byte");
  const std::string real = resolve_link(path);
  const size_t slash = real.rfind('/');
  name_ = slash == std::string::npos ? real : real.substr(slash + 1);
  if (name_.empty() || name_ == "." || name_ == "..")
    invalid("the path \"" + path + "\" names a folder, not a file");
  std::string folder = ".";
  if (slash != std::string::npos) folder = real.substr(0, slash + 1);

  int error = next_fault(FileStep::open);
  if (error <= 0) {
    folder_ = FileDescriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    error = errno;
  }
  if (!folder_.valid()) fail_errno(error, "open the folder \"" + folder + "\" to write", path_);
  create_temporary();
}

void AtomicFile::create_temporary() {
  struct stat old;
  const bool exists = ::fstatat(folder_.get(), name_.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && !S_ISREG(old.st_mode))
    invalid("\"" + path_ + "\" is not a regular file, so it is not replaced");

  const std::string prefix = temporary_prefix(name_);
  remove_abandoned(folder_.get(), prefix);
  static std::atomic<uint64_t> counter{0};
  for (int tries = 0; tries < 100; ++tries) {
    const std::string name = prefix + std::to_string(::getpid()) + "-" + std::to_string(counter++);
    int error = next_fault(FileStep::open);
    FileDescriptor file;
    if (error <= 0) {
      constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
      file = FileDescriptor(::openat(folder_.get(), name.c_str(), flags, 0666));
      error = errno;
    }
    if (!file.valid()) {
      if (error == EEXIST || error == EINTR) continue;
      fail_errno(error, "create a temporary file beside", path_);
    }
    // Another writer may have taken the new file for an abandoned one before the lock was there. A file
    // system without locks is no obstacle: nobody can take the lock there either.
    struct stat info;
    if ((!lock_now(file.get()) && errno == EWOULDBLOCK) || ::fstat(file.get(), &info) != 0 ||
        info.st_nlink == 0)
      continue;
    file_ = std::move(file);
    temporary_ = name;
    if (exists && ::fchmod(file_.get(), old.st_mode & 07777) != 0)
      fail_step(errno, "keep the permissions of");
    return;
  }
  fail(ErrorKind::IO, "cannot create a temporary file beside \"" + path_ + "\": 100 names are taken");
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlinkat(folder_.get(), temporary_.c_str(), 0);
}

void AtomicFile::fail_step(int error, std::string_view action) {
  state_ = State::failed;
  if (!temporary_.empty()) ::unlinkat(folder_.get(), temporary_.c_str(), 0);
  temporary_.clear();
  file_.reset();  // gives the space back
  try {
    fail_errno(error, action, path_);
  } catch (const Error& e) {
    fail(e.kind(), e.message() + "; what was there before is unchanged");
  }
}

void AtomicFile::require_open() const {
  if (state_ == State::open) return;
  invalid("\"" + path_ + "\" " + (state_ == State::committed ? "is committed" : "could not be written") +
          ", so nothing more can be written to it");
}

void AtomicFile::write(const void* data, int64_t bytes) {
  require_open();
  if (bytes < 0) invalid("\"" + path_ + "\": cannot write " + std::to_string(bytes) + " bytes");
  if (bytes == 0) return;
  const char* from = static_cast<const char*>(data);
  if (buffer_.size() + static_cast<uint64_t>(bytes) > kBuffer) flush();
  if (static_cast<uint64_t>(bytes) > kBuffer) return write_through(from, bytes);
  buffer_.append(from, static_cast<size_t>(bytes));
}

void AtomicFile::pad_to(int64_t alignment) {
  require_open();
  if (alignment < 1) invalid("\"" + path_ + "\": cannot align to " + std::to_string(alignment) + " bytes");
  static constexpr char zeros[4096] = {};
  for (int64_t left = (alignment - offset() % alignment) % alignment; left > 0;) {
    const int64_t piece = std::min<int64_t>(left, sizeof zeros);
    write(zeros, piece);
    left -= piece;
  }
}

void AtomicFile::flush() {
  write_through(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  buffer_.clear();
}

void AtomicFile::write_through(const char* data, int64_t bytes) {
  const int64_t begin = written_;
  for (int64_t done = 0; done < bytes;) {
    int64_t ask = std::min(bytes - done, kMostAtOnce);
    int error = next_fault(FileStep::write);
    if (error == FileFaults::kShort) ask = (ask + 1) / 2;
    int64_t wrote = -1;
    if (error <= 0) {
      wrote = ::write(file_.get(), data + done, static_cast<size_t>(ask));
      error = wrote < 0 ? errno : ENOSPC;  // a write of nothing makes no progress: there is no room
    }
    if (wrote > 0)
      done += wrote;
    else if (error != EINTR) {
      buffer_.clear();
      written_ = begin;
      fail_step(error, "write " + std::to_string(bytes - done) + " bytes at offset " +
                           std::to_string(begin + done) + " of");
    }
  }
  written_ = begin + bytes;
}

void AtomicFile::commit() {
  require_open();
  flush();
  if (const int error = sync_now(file_.get())) {
    fail_step(error, "make " + std::to_string(written_) + " bytes durable (fsync) of");
  }
  int error = next_fault(FileStep::rename);
  if (error <= 0) {
    error = ::renameat(folder_.get(), temporary_.c_str(), folder_.get(), name_.c_str()) == 0 ? 0 : errno;
  }
  if (error) fail_step(error, "put the new contents in place (rename) of");
  temporary_.clear();
  state_ = State::committed;
  file_.reset();
  error = sync_now(folder_.get());
  // Some network file systems cannot sync a folder and say EINVAL; there the server keeps the order.
  if (error && error != EINVAL) {
    fail_errno(error, "make the new name durable (fsync of the folder; the new contents are in place) of",
               path_);
  }
}

void write_file(const std::string& path, std::string_view contents) {
  AtomicFile file(path);
  file.write(contents);
  file.commit();
}

}  // namespace fovea
