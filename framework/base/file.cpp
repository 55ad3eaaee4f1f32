#include "framework/base/file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "framework/base/error.h"
#include "framework/base/file_faults.h"

namespace fovea {
namespace {

std::string quoted(std::string_view path) { return "\"" + std::string(path) + "\""; }

void check_path(std::string_view path) {
  if (path.empty()) invalid("a file path is empty");
  if (path.find('\0') != std::string_view::npos)
    invalid("the file path " + quoted(path) + " holds a zero byte");
}

FileDescriptor open_file(const std::string& path, int flags) {
  check_path(path);
  int error = next_fault(FileStep::open);
  int fd = -1;
  if (error <= 0) {
    do fd = ::open(path.c_str(), O_CLOEXEC | O_NOCTTY | flags, 0666);
    while (fd < 0 && errno == EINTR);
    error = errno;
  }
  if (fd < 0) fail_errno(error, "open", path);
  return FileDescriptor(fd);
}

FileDescriptor open_for_reading(const std::string& path, int flags) {
  return open_file(path, O_RDONLY | flags);
}

int64_t regular_size(const FileDescriptor& file, const std::string& path) {
  struct stat info;
  if (!file.valid()) invalid("the descriptor of " + quoted(path) + " is not open");
  if (::fstat(file.get(), &info) != 0) fail_errno(errno, "read the size of", path);
  if (!S_ISREG(info.st_mode)) fail(ErrorKind::IO, quoted(path) + " is not a regular file");
  return info.st_size;
}

// One read or pread (offset >= 0) with injected faults; bytes read, or -1 with errno.
int64_t read_some(int fd, void* out, int64_t bytes, int64_t offset) {
  constexpr int64_t kMost = int64_t{1} << 30;
  for (;;) {
    int64_t ask = std::min(bytes, kMost);
    const int fault = next_fault(FileStep::read);
    if (fault == FileFaults::kShort) ask = (ask + 1) / 2;
    int64_t got = -1;
    if (fault > 0)
      errno = fault;
    else if (offset >= 0)
      got = ::pread(fd, out, static_cast<size_t>(ask), offset);
    else
      got = ::read(fd, out, static_cast<size_t>(ask));
    if (got >= 0 || errno != EINTR) return got;
  }
}

void check_file_range(const std::string& path, int64_t size, int64_t offset, int64_t bytes,
                      std::string_view field) {
  if (offset >= 0 && bytes >= 0 && offset <= size && bytes <= size - offset) return;
  fail(ErrorKind::Corrupt, quoted(path) + ": " + std::string(field) + " is " + std::to_string(bytes) +
                               " bytes at offset " + std::to_string(offset) + ", but the file has " +
                               std::to_string(size) + " bytes");
}

// The components of a relative path; InvalidArgument when it is not a plain way down.
std::vector<std::string> components_below(const std::string& relative) {
  check_path(relative);
  if (relative.front() == '/')
    invalid("the path " + quoted(relative) + " must be relative, but starts with \"/\"");
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= relative.size();) {
    const size_t end = std::min(relative.find('/', begin), relative.size());
    std::string part = relative.substr(begin, end - begin);
    if (part == "..") invalid("the path " + quoted(relative) + " must not hold \"..\"");
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    begin = end + 1;
  }
  if (parts.empty() || relative.back() == '/') invalid("the path " + quoted(relative) + " names no file");
  return parts;
}

constexpr int kBeneathFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

// A descriptor, or -1 with errno (ENOSYS where the kernel, or its sandbox, has no openat2).
int open_with_openat2(int folder, const char* relative) {
  if (file_faults().no_openat2) {
    errno = ENOSYS;
    return -1;
  }
  struct open_how how = {};
  how.flags = kBeneathFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  long fd = -1;
  // EAGAIN: something was renamed during the walk, so that the kernel could not be sure.
  for (int tries = 0; tries < 100; ++tries) {
    fd = ::syscall(SYS_openat2, folder, relative, &how, sizeof how);
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) break;
  }
  return static_cast<int>(fd);
}

// The same by hand: each folder on the way is opened without following a link.
int open_by_walking(int folder, const std::vector<std::string>& parts) {
  FileDescriptor here;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    const int from = i == 0 ? folder : here.get();
    FileDescriptor next(::openat(from, parts[i].c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
    if (!next.valid()) return -1;
    here = std::move(next);
  }
  return ::openat(here.valid() ? here.get() : folder, parts.back().c_str(), kBeneathFlags | O_NOFOLLOW);
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(release());
}

void fail_errno(int error, std::string_view action, std::string_view path) {
  const bool exhausted = error == ENOSPC || error == EDQUOT || error == EFBIG || error == ENOMEM ||
                         error == EMFILE || error == ENFILE;
  const char* text = ::strerrordesc_np(error);
  const char* name = ::strerrorname_np(error);
  fail(exhausted ? ErrorKind::ResourceExhausted : ErrorKind::IO,
       "cannot " + std::string(action) + " " + quoted(path) + ": " + (text ? text : "unknown error") + " (" +
           (name ? std::string(name) : std::to_string(error)) + ")");
}

std::string read_file(const std::string& path, int64_t max_bytes) {
  const FileDescriptor file = open_for_reading(path, 0);
  auto too_large = [&](const std::string& holds) {
    fail(ErrorKind::ResourceExhausted, quoted(path) + " holds " + holds + " bytes; at most " +
                                           std::to_string(max_bytes) + " are read here");
  };
  struct stat info;
  if (::fstat(file.get(), &info) != 0) fail_errno(errno, "read the size of", path);
  if (S_ISREG(info.st_mode) && info.st_size > max_bytes) too_large(std::to_string(info.st_size));

  // One byte more than expected, so that the end is seen without growing. Pipes and /proc tell no size.
  std::string out(S_ISREG(info.st_mode) ? static_cast<size_t>(info.st_size) + 1 : size_t{65536}, '\0');
  int64_t used = 0;
  for (;;) {
    const int64_t room = static_cast<int64_t>(out.size()) - used;
    const int64_t got = read_some(file.get(), out.data() + used, room, -1);
    if (got < 0) fail_errno(errno, "read at offset " + std::to_string(used) + " of", path);
    if (got == 0) break;
    used += got;
    if (used > max_bytes) too_large("more than " + std::to_string(max_bytes));
    if (used == static_cast<int64_t>(out.size())) out.resize(out.size() * 2);
  }
  out.resize(static_cast<size_t>(used));
  return out;
}

FileDescriptor open_beneath(const std::string& folder, const std::string& relative) {
  const std::vector<std::string> parts = components_below(relative);
  const FileDescriptor root = open_for_reading(folder, O_PATH | O_DIRECTORY);
  FileDescriptor file(open_with_openat2(root.get(), relative.c_str()));
  if (!file.valid() && (errno == ENOSYS || errno == EPERM))
    file = FileDescriptor(open_by_walking(root.get(), parts));
  const std::string whole = folder + "/" + relative;
  if (!file.valid()) {
    const int error = errno;
    // ELOOP and ENOTDIR are what the two ways say of a link; EXDEV of a way that leads out.
    const bool link = error == ELOOP || error == EXDEV;
    fail_errno(error, link ? "open (links are not followed beneath a model's folder)" : "open", whole);
  }
  regular_size(file, whole);
  return file;
}

FileReader::FileReader(const std::string& path) : FileReader(open_for_reading(path, O_NONBLOCK), path) {}

FileReader::FileReader(FileDescriptor file, std::string name)
    : file_(std::move(file)), path_(std::move(name)), size_(regular_size(file_, path_)) {}

void FileReader::check_range(int64_t offset, int64_t bytes, std::string_view field) const {
  check_file_range(path_, size_, offset, bytes, field);
}

void FileReader::read(int64_t offset, void* out, int64_t bytes, std::string_view field) const {
  check_range(offset, bytes, field);
  for (int64_t done = 0; done < bytes;) {
    const int64_t got = read_some(file_.get(), static_cast<char*>(out) + done, bytes - done, offset + done);
    if (got < 0)
      fail_errno(errno, "read " + std::string(field) + " at offset " + std::to_string(offset + done) + " of",
                 path_);
    if (got == 0)
      fail(ErrorKind::Corrupt, quoted(path_) + ": " + std::string(field) + " ends at offset " +
                                   std::to_string(offset + done) + ", where " + std::to_string(bytes - done) +
                                   " more bytes were there when the file was opened");
    done += got;
  }
}

std::string FileReader::read_text(int64_t offset, int64_t bytes, std::string_view field) const {
  check_range(offset, bytes, field);
  std::string out(static_cast<size_t>(bytes), '\0');
  read(offset, out.data(), bytes, field);
  return out;
}

MappedFile::MappedFile(const std::string& path) : MappedFile(open_for_reading(path, O_NONBLOCK), path) {}

MappedFile::MappedFile(FileDescriptor file, std::string name)
    : path_(std::move(name)), size_(regular_size(file, path_)) {
  if (size_ == 0) return;  // nothing can be mapped, and nothing need be
  void* at = ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (at == MAP_FAILED) fail_errno(errno, "map " + std::to_string(size_) + " bytes of", path_);
  data_ = static_cast<const std::byte*>(at);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
}

std::span<const std::byte> MappedFile::range(int64_t offset, int64_t bytes, std::string_view field) const {
  check_file_range(path_, size_, offset, bytes, field);
  return {data_ + offset, static_cast<size_t>(bytes)};
}

AppendFile::AppendFile(const std::string& path)
    : file_(open_file(path, O_WRONLY | O_APPEND | O_CREAT)), path_(path) {}

void AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t ask = bytes.size();
    int error = next_fault(FileStep::write);
    if (error == FileFaults::kShort) ask = (ask + 1) / 2;
    ssize_t wrote = -1;
    if (error <= 0) {
      wrote = ::write(file_.get(), bytes.data(), ask);
      error = wrote < 0 ? errno : ENOSPC;
    }
    if (wrote > 0)
      bytes.remove_prefix(static_cast<size_t>(wrote));
    else if (error != EINTR)
      fail_errno(error, "append " + std::to_string(bytes.size()) + " bytes to", path_);
  }
}

}  // namespace fovea
