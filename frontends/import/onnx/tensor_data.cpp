// From a TensorProto to an Array.
#include <charconv>
#include <cstring>
#include <limits>

#include "framework/base/checked.h"
#include "framework/base/file.h"
#include "frontends/import/onnx/convert.h"
#include "frontends/import/onnx/model_internal.h"

namespace fovea::onnx {
namespace {

constexpr int kFloatData = 4, kInt32Data = 5, kInt64Data = 7, kRawData = 9, kDoubleData = 10,
              kUint64Data = 11;

[[noreturn]] void corrupt(const std::string& path, const std::string& what, const std::string& text) {
  fail(ErrorKind::Corrupt, "\"" + path + "\": " + what + ": " + text);
}

// Which typed field holds the elements of this type.
int typed_field(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return kFloatData;
    case DType::f64:
      return kDoubleData;
    case DType::i64:
      return kInt64Data;
    default:
      return kInt32Data;
  }
}

// One number a time out of a list of varints; false at its end. A list that is cut off ends early.
bool next_varint(std::string_view& bytes, uint64_t& value) {
  value = 0;
  for (int shift = 0; !bytes.empty() && shift < 70; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[0]);
    bytes.remove_prefix(1);
    if (shift < 64) value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

int64_t count_varints(const TensorBytes& data) {
  int64_t n = 0;
  for (std::string_view piece : data.pieces)
    for (char c : piece) n += static_cast<unsigned char>(c) < 128;
  return n;
}

void store(DType dtype, void* out, int64_t at, uint64_t value) {
  switch (size_of(dtype)) {
    case 1:
      static_cast<uint8_t*>(out)[at] =
          dtype == DType::boolean ? static_cast<uint8_t>(value != 0) : static_cast<uint8_t>(value);
      break;
    case 2:  // halves are stored as their bits
      static_cast<uint16_t*>(out)[at] = static_cast<uint16_t>(value);
      break;
    case 4:
      static_cast<uint32_t*>(out)[at] = static_cast<uint32_t>(value);
      break;
    default:
      static_cast<uint64_t*>(out)[at] = value;
  }
}

// ONNX writes a bool as any byte; here it is 0 or 1.
void normalise_bools(const Array& array) {
  if (array.dtype() != DType::boolean) return;
  auto* p = static_cast<uint8_t*>(array.raw());
  for (int64_t i = 0; i < array.size(); ++i) p[i] = p[i] != 0;
}

Array from_varints(const TensorBytes& data, DType dtype, const Dims& shape) {
  Array out(dtype, shape);
  int64_t at = 0;
  for (std::string_view piece : data.pieces)
    for (uint64_t value; at < out.size() && next_varint(piece, value);) store(dtype, out.raw(), at++, value);
  return out;
}

std::string counted(int64_t n, const char* what) { return std::to_string(n) + " " + what; }

}  // namespace

Dims dims_of(const onnx_file::TensorProto& tensor, const std::string& what) {
  if (tensor.dims_size() > 8)
    fail(ErrorKind::Unsupported, what + " has rank " + std::to_string(tensor.dims_size()) + ", at most 8");
  Dims shape;
  for (int64_t d : tensor.dims()) {
    if (d < 0) fail(ErrorKind::Corrupt, what + " has a size of " + std::to_string(d));
    shape.push_back(d);
  }
  return shape;
}

Array ModelBytes::read(const onnx_file::TensorProto& tensor, const std::string& what) const {
  const auto dtype = dtype_of_onnx(tensor.data_type());
  if (!dtype)
    fail(ErrorKind::Unsupported,
         "\"" + path_ + "\": " + what + " holds elements of type " + onnx_dtype_name(tensor.data_type()));
  const Dims shape = dims_of(tensor, "\"" + path_ + "\": " + what);
  const int64_t elements = product(shape), bytes = checked_mul(elements, size_of(*dtype), "a tensor's bytes");
  if (tensor.data_location() == onnx_file::TensorProto::EXTERNAL)
    return read_external(tensor, *dtype, shape, what);
  uint64_t index = 0;
  if (tensor.raw_data().size() == sizeof index) std::memcpy(&index, tensor.raw_data().data(), sizeof index);
  const TensorBytes& data = tensors_.at(index);
  if (elements == 0) return Array(*dtype, shape);
  if (data.field == 0) corrupt(path_, what, counted(elements, "elements are declared, none is there"));
  if (data.field != kRawData && data.field != typed_field(*dtype))
    corrupt(path_, what,
            "elements of type " + std::string(to_string(*dtype)) + " stand in field " +
                std::to_string(data.field));
  if (data.field == kInt32Data || data.field == kInt64Data) {
    const int64_t there = count_varints(data);
    if (there != elements)
      corrupt(path_, what, counted(elements, "elements are declared, ") + counted(there, "are there"));
    return from_varints(data, *dtype, shape);
  }
  int64_t there = 0;
  for (std::string_view piece : data.pieces) there += static_cast<int64_t>(piece.size());
  if (there != bytes)
    corrupt(path_, what,
            to_string(shape) + " of " + std::string(to_string(*dtype)) + " takes " +
                counted(bytes, "bytes, ") + counted(there, "are there"));
  Array out(*dtype, shape);
  char* to = static_cast<char*>(out.raw());
  for (std::string_view piece : data.pieces) {
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
  normalise_bools(out);
  return out;
}

Array ModelBytes::read_external(const onnx_file::TensorProto& tensor, DType dtype, const Dims& shape,
                                const std::string& what) const {
  std::string location;
  int64_t offset = 0, length = -1;
  for (const auto& entry : tensor.external_data()) {
    int64_t* number = entry.key() == "offset" ? &offset : entry.key() == "length" ? &length : nullptr;
    if (entry.key() == "location") location = entry.value();
    if (!number) continue;
    const char *begin = entry.value().data(), *end = begin + entry.value().size();
    const auto [stopped, error] = std::from_chars(begin, end, *number);
    if (error != std::errc() || stopped != end || *number < 0)
      corrupt(path_, what, entry.key() + " of external data is '" + entry.value().substr(0, 80) + "'");
  }
  const int64_t bytes = checked_mul(product(shape), size_of(dtype), "a tensor's bytes");
  if (length >= 0 && length != bytes)
    corrupt(path_, what,
            to_string(shape) + " of " + std::string(to_string(dtype)) + " takes " +
                counted(bytes, "bytes, the external data has ") + std::to_string(length));
  const FileReader file(open_beneath(folder_, location), folder_ + "/" + location);
  file.check_range(offset, bytes, what);
  Array out(dtype, shape);
  if (bytes > 0) file.read(offset, out.raw(), bytes, what);
  normalise_bools(out);
  return out;
}

std::optional<DType> dtype_of_onnx(int64_t number) {
  switch (number) {
    case 1:
      return DType::f32;
    case 2:
      return DType::u8;
    case 3:
      return DType::i8;
    case 5:
      return DType::i16;
    case 6:
      return DType::i32;
    case 7:
      return DType::i64;
    case 9:
      return DType::boolean;
    case 10:
      return DType::f16;
    case 11:
      return DType::f64;
    case 16:
      return DType::bf16;
    default:
      return {};
  }
}

std::string onnx_dtype_name(int64_t number) {
  static constexpr const char* names[] = {
      "undefined",      "float32",    "uint8",          "int8",       "uint16",   "int16",
      "int32",          "int64",      "string",         "bool",       "float16",  "float64",
      "uint32",         "uint64",     "complex64",      "complex128", "bfloat16", "float8e4m3fn",
      "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",      "int4",     "float4e2m1"};
  if (number >= 0 && number < static_cast<int64_t>(std::size(names))) return names[number];
  return "number " + std::to_string(number);
}

}  // namespace fovea::onnx
