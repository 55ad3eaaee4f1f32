#include "frontends/import/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "framework/base/checked.h"
#include "framework/base/file.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

// What other readers allow, too.
constexpr int64_t kMaxHeader = 100'000'000;
constexpr int64_t kLengthBytes = 8, kHeaderAlignment = 8;
constexpr const char* kMetadata = "__metadata__";

constexpr std::array<const char*, kDTypeCount> kTypeNames = {"F32", "F64", "F16", "BF16", "I8",
                                                             "I16", "I32", "I64", "U8",   "BOOL"};

[[noreturn]] void corrupt(const std::string& path, const std::string& what) {
  fail(ErrorKind::Corrupt, "\"" + path + "\": " + what);
}

struct Entry {
  std::string name;
  DType dtype = DType::f32;
  Dims shape;
  int64_t begin = 0, end = 0;
};

// Takes the header in as it is read, without a tree of it in memory: an object of objects, as deep as the
// format allows.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(const std::string& path, int64_t data_bytes, int64_t memory)
      : path_(path), data_bytes_(data_bytes), memory_left_(memory) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool start_object(size_t) override {
    ++depth_;
    if (depth_ > 2 || in_list_) bad("an object where none belongs");
    if (depth_ == 2 && !in_metadata_) {
      entries.emplace_back().name = key_;
      seen_.clear();
    }
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) finish(entries.back());
    in_metadata_ = false;
    return true;
  }
  bool key(std::string& text) override {
    key_ = text;
    // An entry of either kind takes less than this beyond its bytes in the file.
    if ((depth_ == 1 || in_metadata_) && (memory_left_ -= 768 + 4 * static_cast<int64_t>(text.size())) < 0)
      fail(ErrorKind::ResourceExhausted,
           "\"" + path_ + "\": the header has too many entries for a file of its size");
    if (depth_ == 1) {
      if (!names_.insert(text).second) bad("the name is given twice");
      tensor_ = text;
      in_metadata_ = text == kMetadata;
    } else if (!in_metadata_) {
      if (text != "dtype" && text != "shape" && text != "data_offsets")
        bad("the unknown field '" + text.substr(0, 64) + "'");
      if (!seen_.insert(text).second) bad("the field '" + text + "' is given twice");
    }
    return true;
  }
  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata_) {
      metadata[key_] = text;
      return true;
    }
    if (depth_ != 2 || key_ != "dtype" || in_list_) bad("text where none belongs");
    const auto at =
        std::find_if(kTypeNames.begin(), kTypeNames.end(), [&](const char* name) { return text == name; });
    if (at == kTypeNames.end())
      fail(ErrorKind::Unsupported, "\"" + path_ + "\": tensor '" + tensor_.substr(0, 200) +
                                       "' has element type '" + text.substr(0, 64) +
                                       "'; read are F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL");
    entries.back().dtype = static_cast<DType>(at - kTypeNames.begin());
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || in_list_ || key_ == "dtype") bad("a list where none belongs");
    in_list_ = true;
    offsets_ = 0;
    return true;
  }
  bool end_array() override {
    if (key_ == "data_offsets" && offsets_ != 2)
      bad("data_offsets holds " + std::to_string(offsets_) + " numbers, not 2");
    in_list_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!in_list_) bad("a number where none belongs");
    if (value > static_cast<uint64_t>(INT64_MAX))
      bad("the number " + std::to_string(value) + " is too large");
    const auto v = static_cast<int64_t>(value);
    Entry& e = entries.back();
    if (key_ == "shape") {
      if (e.shape.size() == 64) bad("the shape has more than 64 dimensions");
      e.shape.push_back(v);
    } else {
      (offsets_ == 0 ? e.begin : e.end) = v;
      if (++offsets_ > 2) bad("data_offsets holds more than 2 numbers");
    }
    return true;
  }
  bool number_integer(number_integer_t value) override {
    bad("the negative number " + std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    bad("the fraction " + text.substr(0, 64));
  }
  bool null() override { bad("a null"); }
  bool boolean(bool) override { bad("true or false"); }
  bool binary(binary_t&) override { bad("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    corrupt(path_, "the header at offset " + std::to_string(kLengthBytes + static_cast<int64_t>(position)) +
                       " is no JSON: " + e.what());
  }

 private:
  [[noreturn]] void bad(const std::string& what) const {
    corrupt(path_, "the header, tensor '" + tensor_.substr(0, 200) + "', field '" + key_.substr(0, 64) +
                       "': " + what);
  }
  void finish(const Entry& e) const {
    if (seen_.size() != 3) bad("the entry lacks one of dtype, shape and data_offsets");
    int64_t bytes = size_of(e.dtype);
    for (int64_t d : e.shape)
      if (__builtin_mul_overflow(bytes, d, &bytes)) bad("shape " + to_string(e.shape) + " overflows 64 bits");
    if (e.begin > e.end || e.end > data_bytes_)
      bad("bytes " + std::to_string(e.begin) + " to " + std::to_string(e.end) + " of " +
          std::to_string(data_bytes_) + " bytes of data");
    if (bytes != e.end - e.begin)
      bad("shape " + to_string(e.shape) + " of " + std::string(to_string(e.dtype)) + " takes " +
          std::to_string(bytes) + " bytes, the file gives it " + std::to_string(e.end - e.begin));
  }

  const std::string& path_;
  int64_t data_bytes_, memory_left_;
  std::string tensor_, key_;
  std::set<std::string> names_, seen_;
  int depth_ = 0, offsets_ = 0;
  bool in_metadata_ = false, in_list_ = false;
};

int64_t header_bytes(const FileReader& file) {
  std::array<unsigned char, kLengthBytes> raw{};
  if (file.size() < kLengthBytes)
    corrupt(file.path(), "not a safetensors file: it has " + std::to_string(file.size()) +
                             " bytes, the length of its header takes 8");
  file.read(0, raw.data(), kLengthBytes, "the header's length");
  uint64_t length = 0;
  for (size_t i = raw.size(); i-- > 0;) length = length << 8 | raw[i];
  const int64_t room = file.size() - kLengthBytes;
  if (length > static_cast<uint64_t>(std::min(room, kMaxHeader)))
    corrupt(file.path(), "the header's length at offset 0: declared " + std::to_string(length) + " bytes, " +
                             std::to_string(room) + " follow, at most " + std::to_string(kMaxHeader) +
                             " are read");
  return static_cast<int64_t>(length);
}

}  // namespace

std::vector<std::pair<std::string, Array>> load_safetensors(const std::string& path,
                                                            std::map<std::string, std::string>* metadata) {
  const FileReader file(path);
  const int64_t length = header_bytes(file), start = kLengthBytes + length;
  // Peak memory is at most 2x the file and 256 MiB.
  HeaderReader reader(path, file.size() - start, file.size() + (int64_t{256} << 20));
  {
    const std::string header = file.read_text(kLengthBytes, length, "the header");
    if (header.empty() || header[0] != '{') corrupt(path, "the header at offset 8 does not begin with '{'");
    Json::sax_parse(header, &reader);
  }
  auto& entries = reader.entries;
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  int64_t at = 0;
  for (const Entry& e : entries) {
    if (e.begin != at)
      corrupt(path, "tensor '" + e.name.substr(0, 200) + "' begins at " + std::to_string(e.begin) +
                        " of the data, " +
                        (e.begin < at ? "inside the one before it, which ends at " : "behind a hole from ") +
                        std::to_string(at));
    at = e.end;
  }
  if (at != file.size() - start)
    corrupt(path, "the data ends at " + std::to_string(at) + ", the file has " +
                      std::to_string(file.size() - start) + " bytes of it");
  std::vector<std::pair<std::string, Array>> out;
  for (const Entry& e : entries) {
    Array array(e.dtype, e.shape);
    file.read(start + e.begin, array.raw(), array.nbytes(), "tensor '" + e.name.substr(0, 200) + "'");
    out.emplace_back(e.name, std::move(array));
  }
  if (metadata) *metadata = std::move(reader.metadata);
  return out;
}

void save_safetensors(const std::string& path, const std::vector<std::pair<std::string, Array>>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  // Wide elements first, so that each tensor is aligned without gaps, which the format forbids.
  std::vector<const std::pair<std::string, Array>*> order;
  std::set<std::string_view> names;
  for (const auto& tensor : tensors) {
    if (tensor.first == kMetadata) invalid("save_safetensors: '__metadata__' cannot be a tensor's name");
    if (!names.insert(tensor.first).second)
      invalid("save_safetensors: two tensors are named '" + tensor.first + "'");
    tensor.second.raw();  // an undefined or donated array throws here, before anything is written
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  int64_t at = 0;
  for (const auto* tensor : order) {
    const auto& [name, array] = *tensor;
    const int64_t end = checked_add(at, array.nbytes(), "the bytes of a file");
    header[name] = {{"dtype", kTypeNames[static_cast<size_t>(array.dtype())]},
                    {"shape", array.shape()},
                    {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    invalid("save_safetensors: a name or a metadata text is not UTF-8");
  }
  text.resize(static_cast<size_t>(round_up(static_cast<int64_t>(text.size()), kHeaderAlignment)), ' ');
  if (static_cast<int64_t>(text.size()) > kMaxHeader)
    fail(ErrorKind::Unsupported, "save_safetensors: a header of " + std::to_string(text.size()) +
                                     " bytes, at most " + std::to_string(kMaxHeader) + " are allowed");
  AtomicFile file(path);
  std::array<unsigned char, kLengthBytes> raw{};
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<unsigned char>(text.size() >> (8 * i));
  file.write(raw.data(), kLengthBytes);
  file.write(text);
  for (const auto* tensor : order) {
    const Array whole = tensor->second.contiguous();
    file.write(whole.raw(), whole.nbytes());
  }
  file.commit();
}

}  // namespace fovea
