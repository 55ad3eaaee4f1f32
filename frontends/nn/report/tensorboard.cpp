#include "frontends/nn/report/tensorboard.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <filesystem>

#include "framework/base/error.h"

namespace fovea::nn {
namespace {

// The field numbers of TensorFlow's event.proto and summary.proto that are used here. The wire format is
// fixed forever, and these few fields of it are less than what generating code from the schema would bring
// along.
namespace event_field {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace value_field {
constexpr int kTag = 1, kSimpleValue = 2, kImage = 4;
}
namespace image_field {
constexpr int kHeight = 1, kWidth = 2, kColorspace = 3, kEncoded = 4;
}

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <class T>
void put_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
}

void put_key(std::string& out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | type);
}

void put_int(std::string& out, int field, int64_t value) {
  put_key(out, field, kVarint);
  put_varint(out, static_cast<uint64_t>(value));
}

void put_double(std::string& out, int field, double value) {
  put_key(out, field, kFixed64);
  put_little_endian(out, std::bit_cast<uint64_t>(value));
}

void put_float(std::string& out, int field, float value) {
  put_key(out, field, kFixed32);
  put_little_endian(out, std::bit_cast<uint32_t>(value));
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// TensorBoard reads files whose name holds "tfevents", in the order of their names.
std::string event_file_name() {
  static std::atomic<int> counter{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  std::string number = std::to_string(counter++);
  number.insert(0, number.size() < 4 ? 4 - number.size() : 0, '0');
  return "events.out.tfevents." + std::to_string(static_cast<int64_t>(wall_time())) + "." + host + "." +
         std::to_string(::getpid()) + "." + number;
}

std::string summary_of(std::string_view tag, std::string_view payload) {
  if (tag.empty()) invalid("a summary has an empty tag");
  std::string value, summary, fields;
  put_bytes(value, value_field::kTag, tag);
  value += payload;
  put_bytes(summary, 1, value);
  put_bytes(fields, event_field::kSummary, summary);
  return fields;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t c = ~0u;
  for (unsigned char b : bytes) c = kCrcTable[(c ^ b) & 0xFF] ^ (c >> 8);
  return ~c;
}

uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u; }

EventWriter::EventWriter(const std::string& folder, int64_t resume_step) {
  if (folder.empty()) invalid("the folder of an event file is empty");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_errno(error.value(), "make the folder", folder);
  file_ = std::make_unique<AppendFile>(folder + "/" + event_file_name());

  std::string version;
  put_bytes(version, event_field::kFileVersion, "brain.Event:2");
  write_event(version);
  if (resume_step < 0) return;
  // A session that starts at a step tells the reader to forget what is there from that step on.
  std::string session, fields;
  put_int(session, 1, 1);  // status: START
  put_int(fields, event_field::kStep, resume_step + 1);
  put_bytes(fields, event_field::kSessionLog, session);
  write_event(fields);
}

void EventWriter::scalar(std::string_view tag, int64_t step, double value) {
  std::string payload, fields;
  put_float(payload, value_field::kSimpleValue, static_cast<float>(value));
  put_int(fields, event_field::kStep, step);
  write_event(fields + summary_of(tag, payload));
}

void EventWriter::image(std::string_view tag, int64_t step, int64_t width, int64_t height,
                        std::string_view png) {
  constexpr int kRgba = 4;
  if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX)
    invalid("a summary picture of " + std::to_string(width) + " x " + std::to_string(height) + " pixels");
  std::string image, payload, fields;
  put_int(image, image_field::kHeight, height);
  put_int(image, image_field::kWidth, width);
  put_int(image, image_field::kColorspace, kRgba);
  put_bytes(image, image_field::kEncoded, png);
  put_bytes(payload, value_field::kImage, image);
  put_int(fields, event_field::kStep, step);
  write_event(fields + summary_of(tag, payload));
}

void EventWriter::write_event(std::string_view fields) {
  std::string event;
  put_double(event, event_field::kWallTime, wall_time());
  event += fields;
  write_record(event);
}

// A record: length (8 bytes), checksum of the length, the bytes, checksum of the bytes.
void EventWriter::write_record(std::string_view record) {
  std::string out;
  put_little_endian(out, static_cast<uint64_t>(record.size()));
  put_little_endian(out, masked_crc32c(out));
  out += record;
  put_little_endian(out, masked_crc32c(record));
  file_->append(out);
}

}  // namespace fovea::nn
