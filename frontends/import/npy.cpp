#include "frontends/import/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/base/file.h"

namespace fovea {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr struct {
  std::string_view name;
  DType dtype;
} kTypes[] = {{"<f8", DType::f64}, {"<f4", DType::f32}, {"<f2", DType::f16},
              {"<i8", DType::i64}, {"<i4", DType::i32}, {"<i2", DType::i16},
              {"|i1", DType::i8},  {"|u1", DType::u8},  {"|b1", DType::boolean}};

[[noreturn]] void corrupt(const std::string& path, const std::string& what) {
  fail(ErrorKind::Corrupt, "\"" + path + "\": " + what);
}

// What stands behind 'key': in the header, a Python dictionary in the one form NumPy writes.
std::string_view entry(const std::string& path, std::string_view header, std::string_view key) {
  const size_t at = header.find(key);
  if (at == std::string_view::npos) corrupt(path, "the header has no " + std::string(key));
  header.remove_prefix(at + key.size());
  header.remove_prefix(std::min(header.find_first_not_of(" :"), header.size()));
  const size_t end = header.starts_with('(') ? header.find(')') : header.find_first_of(",}");
  if (end == std::string_view::npos) corrupt(path, "the header's " + std::string(key) + " does not end");
  return header.substr(0, end);
}

Dims parse_shape(const std::string& path, std::string_view text) {
  Dims shape;
  for (size_t at = 0; (at = text.find_first_of("0123456789", at)) != std::string_view::npos;) {
    int64_t n = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), n);
    if (error != std::errc())
      corrupt(path, "the shape " + std::string(text.substr(0, 200)) + " is too large");
    shape.push_back(n);
    at = static_cast<size_t>(end - text.data());
  }
  if (shape.size() > 8)
    fail(ErrorKind::Unsupported, "\"" + path + "\": rank " + std::to_string(shape.size()) + ", at most 8");
  return shape;
}

}  // namespace

Array load_npy(const std::string& path) {
  const FileReader file(path);
  const std::string start = file.read_text(0, std::min<int64_t>(file.size(), 12), "the header");
  if (start.size() < 10 || std::string_view(start).substr(0, 6) != kMagic) corrupt(path, "not a .npy file");
  const auto byte = [&](size_t i) { return static_cast<int64_t>(static_cast<unsigned char>(start[i])); };
  const bool wide = start[6] >= 2;
  if (wide && start.size() < 12) corrupt(path, "the header is cut off");
  const int64_t begin = wide ? 12 : 10;
  const int64_t length = byte(8) | byte(9) << 8 | (wide ? byte(10) << 16 | byte(11) << 24 : 0);
  const std::string header = file.read_text(begin, length, "the header");
  std::string_view type = entry(path, header, "'descr'");
  if (type.size() < 2 || type.front() != '\'')
    fail(ErrorKind::Unsupported, "\"" + path + "\": its elements are records");
  type = type.substr(1, type.size() - 2);
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.name == type; });
  if (found == std::end(kTypes))
    fail(ErrorKind::Unsupported, "\"" + path + "\": elements of type " + std::string(type.substr(0, 80)));
  Dims shape = parse_shape(path, entry(path, header, "'shape'"));
  const bool columns_first = entry(path, header, "'fortran_order'").starts_with("True");
  if (columns_first) std::reverse(shape.begin(), shape.end());
  const int64_t bytes = checked_mul(product(shape), size_of(found->dtype), "an array's bytes");
  if (bytes != file.size() - begin - length)
    corrupt(path, to_string(shape) + " of " + std::string(to_string(found->dtype)) + " takes " +
                      std::to_string(bytes) + " bytes, " + std::to_string(file.size() - begin - length) +
                      " are there");
  Array out(found->dtype, shape);
  if (bytes > 0) file.read(begin + length, out.raw(), bytes, "the array");
  if (out.dtype() == DType::boolean)
    for (int64_t i = 0; i < out.size(); ++i)
      static_cast<uint8_t*>(out.raw())[i] = static_cast<uint8_t*>(out.raw())[i] != 0;
  if (!columns_first) return out;
  std::vector<int64_t> axes;
  for (int64_t d = out.rank(); d-- > 0;) axes.push_back(d);
  return out.permute(axes).contiguous();
}

void save_npy(const std::string& path, const Array& array) {
  const Array a = (array.dtype() == DType::bf16 ? array.cast(DType::f32) : array).contiguous();
  std::string_view type;
  for (const auto& t : kTypes)
    if (t.dtype == a.dtype()) type = t.name;
  std::string header = "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (";
  for (int64_t d : a.shape()) header += std::to_string(d) + ",";
  header += "), }";
  // The data begins at a multiple of 64; a newline ends the header.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  AtomicFile file(path);
  file.write(kMagic);
  const char fixed[] = {1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  file.write(fixed, sizeof fixed);
  file.write(header);
  if (a.nbytes() > 0) file.write(a.raw(), a.nbytes());
  file.commit();
}

}  // namespace fovea
