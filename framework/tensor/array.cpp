#include "framework/tensor/array.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "framework/base/checked.h"
#include "framework/tensor/element.h"
#include "framework/tensor/strided.h"

namespace fovea {
namespace {

constexpr int64_t kAlignment = 64;
// From this size on malloc always takes fresh pages from the system, and memory begins at a huge page.
constexpr int64_t kLarge = int64_t{32} << 20;
constexpr int64_t kHugePage = int64_t{2} << 20, kPage = 4096;

[[noreturn]] void out_of_memory(int64_t bytes, const std::string& why) {
  fail(ErrorKind::ResourceExhausted,
       "no memory for an array: asked for " + std::to_string(bytes) + " bytes" + why);
}

// Where the kernel promises more memory than there is, malloc succeeds and the process is killed on first
// use; a request that no amount of waiting can satisfy is refused here instead.
int64_t memory_of_machine() {
  static const int64_t total = [] {
    struct sysinfo info {};
    if (sysinfo(&info) != 0) return std::numeric_limits<int64_t>::max();
    return static_cast<int64_t>((info.totalram + info.totalswap) * info.mem_unit);
  }();
  return total;
}

// The number of elements of a shape that has no negative size. Zero-size dims do not hide an overflow of the
// others, so that strides are always representable.
int64_t checked_size(const Dims& shape) {
  int64_t product = 1;
  bool none = false;
  for (int64_t d : shape) {
    if (d < 0) invalid("an array of shape " + to_string(shape) + " has a negative size");
    none = none || d == 0;
    product = checked_mul(product, std::max<int64_t>(d, 1), "the number of elements");
  }
  return none ? 0 : product;
}

int64_t normal_axis(int64_t axis, const Dims& shape, const char* where) {
  const int64_t rank = static_cast<int64_t>(shape.size());
  if (axis < -rank || axis >= rank)
    invalid(std::string(where) + ": axis " + std::to_string(axis) + " of an array of rank " +
            std::to_string(rank) + " and shape " + to_string(shape));
  return axis < 0 ? axis + rank : axis;
}

void need_defined(const Array& a, const char* where) {
  if (!a.defined())
    invalid(std::string(where) + ": the array is undefined (default-constructed, holds no data)");
}

// Offset from the first element of the element at a row-major position.
int64_t flat_offset(const Array& a, int64_t position, const char* where) {
  if (position < 0 || position >= a.size())
    invalid(std::string(where) + ": position " + std::to_string(position) + " of an array of " +
            std::to_string(a.size()) + " elements, shape " + to_string(a.shape()));
  int64_t offset = 0;
  for (size_t d = a.shape().size(); d-- > 0;) {
    offset += position % a.shape()[d] * a.strides()[d];
    position /= a.shape()[d];
  }
  return offset;
}

double read_double(const void* first, DType dtype, int64_t offset) {
  return dispatch(dtype, [&](auto t) {
    return convert_element<double>(load_element(static_cast<const decltype(t)*>(first) + offset));
  });
}

}  // namespace

std::shared_ptr<Buffer> Buffer::allocate(int64_t bytes) {
  if (bytes < 0) invalid("a buffer of " + std::to_string(bytes) + " bytes");
  if (bytes > memory_of_machine())
    out_of_memory(bytes, ", this machine has " + std::to_string(memory_of_machine()));
  // At least one line, so that an empty array has an address, too.
  const int64_t taken = round_up(std::max<int64_t>(bytes, 1), kAlignment);
  const bool large = taken >= kLarge;
  void* data = nullptr;
  if (posix_memalign(&data, static_cast<size_t>(large ? kHugePage : kAlignment),
                     static_cast<size_t>(taken)) != 0)
    out_of_memory(bytes, "");
  return adopt(data, bytes, [](void* p) { std::free(p); });
}

std::shared_ptr<Buffer> Buffer::zeros(int64_t bytes) {
  constexpr int64_t kMapped = int64_t{1} << 20;
  if (bytes < kMapped || bytes > memory_of_machine()) {
    auto made = allocate(bytes);
    std::memset(made->data(), 0, static_cast<size_t>(bytes));
    return made;
  }
  const auto size = static_cast<size_t>(round_up(bytes, kPage));
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) out_of_memory(bytes, "");
  return adopt(data, bytes, [size](void* p) { munmap(p, size); });
}

void Buffer::prefer_huge_pages() const {
  const int64_t whole = bytes_ / kHugePage * kHugePage;
  if (bytes_ < kLarge || reinterpret_cast<uintptr_t>(data_) % kHugePage != 0) return;
  madvise(data_, static_cast<size_t>(whole), MADV_HUGEPAGE);  // advice: a refusal changes nothing
}

void Buffer::take_pages(int64_t offset, int64_t bytes) const {
  if (offset < 0 || bytes < 0 || offset > bytes_ - bytes)
    invalid("pages for " + std::to_string(bytes) + " bytes from " + std::to_string(offset) +
            " of a buffer of " + std::to_string(bytes_));
  const auto first = reinterpret_cast<uintptr_t>(data_) + static_cast<uintptr_t>(offset);
  const uintptr_t begin = round_up(static_cast<int64_t>(first), kPage);
  const uintptr_t end = (first + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
}

std::shared_ptr<Buffer> Buffer::borrow(void* data, int64_t bytes) { return adopt(data, bytes, nullptr); }

std::shared_ptr<Buffer> Buffer::adopt(void* data, int64_t bytes, std::function<void(void*)> release) {
  if (bytes < 0) invalid("a buffer of " + std::to_string(bytes) + " bytes");
  if (!data && bytes > 0) invalid("a buffer of " + std::to_string(bytes) + " bytes at a null address");
  std::shared_ptr<Buffer> made;
  try {
    made.reset(new Buffer(data, bytes, nullptr));
  } catch (const std::bad_alloc&) {
    if (release) release(data);
    out_of_memory(bytes, "");
  }
  made->release_.swap(release);
  return made;
}

std::shared_ptr<Buffer> Buffer::hand_over() {
  auto next = adopt(data_, bytes_, std::exchange(release_, nullptr));
  donated = true;
  return next;
}

Buffer::Buffer(void* data, int64_t bytes, std::function<void(void*)> release)
    : data_(data), bytes_(bytes), release_(std::move(release)) {}

Buffer::~Buffer() {
  if (!release_) return;
  try {
    release_(data_);
  } catch (...) {  // a destructor has nobody to tell
  }
}

Dims contiguous_strides(const Dims& shape) {
  Dims strides(shape.size());
  int64_t step = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = step;
    if (d > 0) step = checked_mul(step, std::max<int64_t>(shape[d], 1), "a stride");
  }
  return strides;
}

bool is_contiguous(const Dims& shape, const Dims& strides) {
  for (int64_t d : shape)
    if (d == 0) return true;
  int64_t step = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] == 1) continue;
    if (strides[d] != step) return false;
    step = checked_mul(step, shape[d], "a stride");
  }
  return true;
}

std::optional<Dims> reshaped_strides(const Dims& shape, const Dims& strides, const Dims& to) {
  const int64_t size = checked_size(shape);
  if (checked_size(to) != size) return {};
  if (size == 0) return contiguous_strides(to);
  // Each new dim is cut off the right end of the current evenly spaced run of old ones; it may not span two
  // runs.
  const Runs runs = merge_dims(shape, strides);
  size_t run = runs.shape.size();
  int64_t left = 1, step = 1;
  Dims out(to.size());
  for (size_t d = to.size(); d-- > 0;) {
    if (to[d] != 1 && left == 1) {
      --run;
      left = runs.shape[run];
      step = runs.strides[run];
    }
    if (left % to[d] != 0) return {};
    left /= to[d];
    out[d] = step;
    step = checked_mul(step, to[d], "a stride");
  }
  return out;
}

Array::Array(DType dtype, Dims shape) : dtype_(dtype), shape_(std::move(shape)) {
  if (static_cast<int>(dtype) >= kDTypeCount)
    invalid("no element type has number " + std::to_string(static_cast<int>(dtype)));
  size_ = checked_size(shape_);
  strides_ = contiguous_strides(shape_);
  buffer_ = Buffer::allocate(checked_mul(size_, size_of(dtype), "the bytes of an array"));
}

Array::Array(std::shared_ptr<Buffer> buffer, DType dtype, Dims shape, Dims strides, int64_t offset)
    : buffer_(std::move(buffer)),
      dtype_(dtype),
      shape_(std::move(shape)),
      strides_(std::move(strides)),
      offset_(offset) {
  if (!buffer_) invalid("an array over a null buffer");
  if (static_cast<int>(dtype) >= kDTypeCount)
    invalid("no element type has number " + std::to_string(static_cast<int>(dtype)));
  if (strides_.size() != shape_.size())
    invalid("an array of shape " + to_string(shape_) + " with " + std::to_string(strides_.size()) +
            " strides");
  size_ = checked_size(shape_);
  checked_mul(size_, size_of(dtype), "the bytes of an array");
  int64_t lowest = offset, highest = offset;
  for (size_t d = 0; size_ > 0 && d < shape_.size(); ++d) {
    const int64_t reach = checked_mul(strides_[d], shape_[d] - 1, "an array's offset");
    int64_t& end = reach < 0 ? lowest : highest;
    end = checked_add(end, reach, "an array's offset");
  }
  const int64_t last = size_ > 0 ? checked_add(highest, 1, "an array's offset") : highest;
  const int64_t end = checked_mul(last, size_of(dtype), "an array's offset");
  if (lowest < 0 || end > buffer_->bytes())
    invalid("an array of shape " + to_string(shape_) + ", strides " + to_string(strides_) + " and offset " +
            std::to_string(offset) + " (" + std::string(to_string(dtype)) + ") reaches elements " +
            std::to_string(lowest) + " to " + std::to_string(highest) + " of a buffer of " +
            std::to_string(buffer_->bytes()) + " bytes");
  if (size_ > 0 && reinterpret_cast<uintptr_t>(buffer_->data()) % static_cast<uintptr_t>(size_of(dtype)) != 0)
    invalid("an array of " + std::string(to_string(dtype)) + " needs an address divisible by " +
            std::to_string(size_of(dtype)) + ": copy the data to an aligned buffer");
}

Array Array::zeros(DType dtype, Dims shape) {
  const int64_t bytes = checked_mul(checked_size(shape), size_of(dtype), "the bytes of an array");
  Dims strides = contiguous_strides(shape);
  return Array(Buffer::zeros(bytes), dtype, std::move(shape), std::move(strides), 0);
}

Array Array::full(DType dtype, Dims shape, double value) {
  Array a(dtype, std::move(shape));
  dispatch(dtype, [&](auto t) {
    using T = decltype(t);
    std::fill_n(static_cast<T*>(a.raw()), a.size(), convert_element<T>(value));
  });
  return a;
}

int64_t Array::dim(int64_t axis) const {
  return shape_[static_cast<size_t>(normal_axis(axis, shape_, "dim"))];
}

bool Array::is_contiguous() const { return fovea::is_contiguous(shape_, strides_); }

void* Array::raw() const {
  need_defined(*this, "reading an array");
  if (buffer_->donated)
    invalid(
        "this array was donated to a compiled program and its memory reused: use the program's output "
        "instead");
  return static_cast<char*>(buffer_->data()) + offset_ * size_of(dtype_);
}

double Array::at(std::initializer_list<int64_t> index) const {
  const void* first = raw();
  if (static_cast<int64_t>(index.size()) != rank())
    invalid("at: " + std::to_string(index.size()) + " indices for an array of shape " + to_string(shape_));
  int64_t offset = 0;
  size_t d = 0;
  for (int64_t i : index) {
    if (i < -shape_[d] || i >= shape_[d])
      invalid("at: index " + std::to_string(i) + " on axis " + std::to_string(d) + " of shape " +
              to_string(shape_));
    offset += (i < 0 ? i + shape_[d] : i) * strides_[d];
    ++d;
  }
  return read_double(first, dtype_, offset);
}

double Array::item() const {
  const void* first = raw();
  if (size_ != 1)
    invalid("item: an array of shape " + to_string(shape_) + " holds " + std::to_string(size_) +
            " elements, not one");
  return read_double(first, dtype_, 0);
}

void Array::set_flat(int64_t position, double value) {
  void* first = raw();
  const int64_t offset = flat_offset(*this, position, "set_flat");
  dispatch(dtype_, [&](auto t) {
    using T = decltype(t);
    static_cast<T*>(first)[offset] = convert_element<T>(value);
  });
}

double Array::get_flat(int64_t position) const {
  const void* first = raw();
  return read_double(first, dtype_, flat_offset(*this, position, "get_flat"));
}

Array Array::reshape(Dims shape) const {
  need_defined(*this, "reshape");
  int64_t known = 1, open = -1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == -1 && open < 0) {
      open = static_cast<int64_t>(d);
    } else if (shape[d] < 0) {
      invalid("reshape to " + to_string(shape) + ": one size may be -1, the others are at least 0");
    } else {
      known = checked_mul(known, shape[d], "the number of elements");
    }
  }
  if (open >= 0) {
    if (known == 0 || size_ % known != 0)
      invalid("reshape: " + std::to_string(size_) + " elements of shape " + to_string(shape_) + " fit " +
              to_string(shape) +
              (known == 0 ? " for any value of -1: give all sizes" : " for no value of -1"));
    shape[static_cast<size_t>(open)] = size_ / known;
  } else if (known != size_) {
    invalid("reshape: shape " + to_string(shape_) + " has " + std::to_string(size_) + " elements, " +
            to_string(shape) + " has " + std::to_string(known));
  }
  if (auto strides = reshaped_strides(shape_, strides_, shape))
    return Array(buffer_, dtype_, std::move(shape), std::move(*strides), offset_);
  Array out = copy();
  Dims strides = contiguous_strides(shape);
  return Array(out.buffer_, dtype_, std::move(shape), std::move(strides), 0);
}

Array Array::transpose(int64_t a, int64_t b) const {
  need_defined(*this, "transpose");
  Array out = *this;
  const auto x = static_cast<size_t>(normal_axis(a, shape_, "transpose"));
  const auto y = static_cast<size_t>(normal_axis(b, shape_, "transpose"));
  std::swap(out.shape_[x], out.shape_[y]);
  std::swap(out.strides_[x], out.strides_[y]);
  return out;
}

Array Array::permute(const std::vector<int64_t>& axes) const {
  need_defined(*this, "permute");
  if (axes.size() != shape_.size())
    invalid("permute: " + to_string(axes) + " names " + std::to_string(axes.size()) + " axes of shape " +
            to_string(shape_));
  Array out = *this;
  std::vector<bool> seen(axes.size());
  for (size_t d = 0; d < axes.size(); ++d) {
    const auto from = static_cast<size_t>(normal_axis(axes[d], shape_, "permute"));
    if (seen[from]) invalid("permute: " + to_string(axes) + " names axis " + std::to_string(from) + " twice");
    seen[from] = true;
    out.shape_[d] = shape_[from];
    out.strides_[d] = strides_[from];
  }
  return out;
}

Array Array::slice(int64_t axis, int64_t start, int64_t stop, int64_t step) const {
  need_defined(*this, "slice");
  const auto d = static_cast<size_t>(normal_axis(axis, shape_, "slice"));
  if (step == 0) invalid("slice: step 0 on axis " + std::to_string(d) + " of shape " + to_string(shape_));
  const int64_t n = shape_[d];
  // Python's rule: negative positions count from the end, then both are clamped to where a walk can begin or
  // end.
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  start = std::clamp(start < 0 ? start + n : start, low, high);
  stop = std::clamp(stop < 0 ? stop + n : stop, low, high);
  int64_t count = 0;
  if (step > 0 && stop > start) count = (stop - start - 1) / step + 1;
  if (step < 0 && stop < start) count = (stop - start + 1) / step + 1;
  Array out = *this;
  out.shape_[d] = count;
  out.size_ = checked_size(out.shape_);
  if (count > 1) out.strides_[d] = checked_mul(strides_[d], step, "a stride");
  if (out.size_ > 0) out.offset_ += start * strides_[d];
  return out;
}

Array Array::broadcast_to(Dims shape) const {
  need_defined(*this, "broadcast_to");
  const size_t rank = shape_.size();
  if (shape.size() < rank)
    invalid("broadcast_to: shape " + to_string(shape_) + " has more dimensions than " + to_string(shape));
  Dims strides(shape.size(), 0);
  const size_t lead = shape.size() - rank;
  for (size_t d = 0; d < rank; ++d) {
    if (shape_[d] == shape[lead + d]) {
      strides[lead + d] = strides_[d];
    } else if (shape_[d] != 1) {
      invalid("broadcast_to: axis " + std::to_string(d) + " of shape " + to_string(shape_) + " is " +
              std::to_string(shape_[d]) + ", not 1 or the " + std::to_string(shape[lead + d]) + " of " +
              to_string(shape));
    }
  }
  return Array(buffer_, dtype_, std::move(shape), std::move(strides), offset_);
}

}  // namespace fovea
