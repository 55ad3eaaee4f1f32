// Concrete n-dimensional data in host memory.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/tensor/dim.h"
#include "framework/tensor/dtype.h"

namespace fovea {

/// A block of host memory with one owner count. 64-byte aligned where Fovea allocates it.
class Buffer {
 public:
  /// `bytes` of uninitialised memory; ResourceExhausted with the figure where there is none.
  static std::shared_ptr<Buffer> allocate(int64_t bytes);
  /// `bytes` of zeros. Large ones are not touched: the system gives their pages at first use.
  static std::shared_ptr<Buffer> zeros(int64_t bytes);
  /// Uses memory of the caller, who keeps it alive and unmoved for as long as any array of it lives.
  static std::shared_ptr<Buffer> borrow(void* data, int64_t bytes);
  /// Takes memory over: `release(data)` is called once, when the last array of it is gone.
  static std::shared_ptr<Buffer> adopt(void* data, int64_t bytes, std::function<void(void*)> release);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  /// Lets the system join the pages of a large allocation to huge ones. To be said once they have been
  /// touched: it joins those in the background, where a first touch of huge pages would have to wait for each
  /// of them (longest in a virtual machine, which gets huge pages from its host anew).
  void prefer_huge_pages() const;
  /// Lets the system give pages to a range that is going to be written. Advice: a refusal changes nothing.
  void take_pages(int64_t offset, int64_t bytes) const;

  /// Gives the memory to a new buffer; this one is donated from then on. Memory that was borrowed stays
  /// borrowed.
  std::shared_ptr<Buffer> hand_over();

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  /// Set once the memory has been given away to a program (a donated input); reading it is an error.
  bool donated = false;

 private:
  Buffer(void* data, int64_t bytes, std::function<void(void*)> release);
  void* data_;
  int64_t bytes_;
  std::function<void(void*)> release_;
};

/// An n-d array: a typed, strided view of a Buffer. Copies share the memory. Strides are in elements and may
/// be 0 (broadcast) or negative.
class Array {
 public:
  Array() = default;
  /// Uninitialised, contiguous.
  Array(DType dtype, Dims shape);
  /// A view of `buffer` starting `offset` elements in; checked to stay inside it.
  Array(std::shared_ptr<Buffer> buffer, DType dtype, Dims shape, Dims strides, int64_t offset);

  static Array zeros(DType dtype, Dims shape);
  static Array full(DType dtype, Dims shape, double value);
  /// Copies `values` in row-major order.
  template <class T>
  static Array of(const std::vector<T>& values, Dims shape) {
    Array a(dtype_of<T>, std::move(shape));
    if (static_cast<int64_t>(values.size()) != a.size())
      invalid("Array::of: " + std::to_string(values.size()) + " values for shape " + to_string(a.shape()));
    std::copy(values.begin(), values.end(), static_cast<T*>(a.raw()));
    return a;
  }
  template <class T>
  static Array scalar(T value) {
    return of(std::vector<T>{value}, {});
  }

  bool defined() const { return buffer_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Dims& shape() const { return shape_; }
  const Dims& strides() const { return strides_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  /// Size of a dimension; negative counts from the end.
  int64_t dim(int64_t axis) const;
  /// Number of elements.
  int64_t size() const { return size_; }
  int64_t nbytes() const { return size_ * size_of(dtype_); }
  bool is_contiguous() const;
  int64_t offset() const { return offset_; }
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }

  /// First element. InvalidArgument if undefined or donated.
  void* raw() const;
  /// First element of a contiguous array of exactly this type; InvalidArgument otherwise.
  template <class T>
  T* data() const {
    if (dtype_ != dtype_of<T>)
      invalid("the array is " + std::string(to_string(dtype_)) + ", read as " +
              std::string(to_string(dtype_of<T>)));
    if (!is_contiguous()) invalid("the array is a strided view: take contiguous() first");
    return static_cast<T*>(raw());
  }
  template <class T>
  std::vector<T> to_vector() const {
    Array a = cast(dtype_of<T>).contiguous();
    T* p = static_cast<T*>(a.raw());
    return std::vector<T>(p, p + a.size());
  }
  /// The element at `index` (one number a dimension), as a double.
  double at(std::initializer_list<int64_t> index) const;
  /// The only element of a one-element array, as a double.
  double item() const;
  /// Writes one element by its row-major position.
  void set_flat(int64_t position, double value);
  double get_flat(int64_t position) const;

  /// This array, or a row-major copy of it where it is strided.
  Array contiguous() const;
  /// A row-major copy.
  Array copy() const;
  /// A converted copy (itself where the type is the same). Floats to integers truncate and saturate, NaN
  /// becomes 0.
  Array cast(DType dtype) const;
  // Views. Errors name the axis and the sizes.
  Array reshape(Dims shape) const;  ///< one size may be -1; copies where no strides can express it
  Array transpose(int64_t a, int64_t b) const;
  Array permute(const std::vector<int64_t>& axes) const;
  Array slice(int64_t axis, int64_t start, int64_t stop, int64_t step = 1) const;
  Array broadcast_to(Dims shape) const;

  /// As a person reads it: nested brackets, aligned columns, long dimensions shortened; shape and type
  /// behind.
  std::string str() const;

 private:
  std::shared_ptr<Buffer> buffer_;
  DType dtype_ = DType::f32;
  Dims shape_, strides_;
  int64_t offset_ = 0, size_ = 0;
};

/// Row-major strides of `shape`.
Dims contiguous_strides(const Dims& shape);
/// True if `strides` walk `shape` in row-major order without gaps (size-1 dims do not count).
bool is_contiguous(const Dims& shape, const Dims& strides);
/// Strides of `shape` reshaped to `to` without moving data; nothing where that takes a copy.
std::optional<Dims> reshaped_strides(const Dims& shape, const Dims& strides, const Dims& to);

}  // namespace fovea
