#include "frontends/data/catalogue.h"

#include <iconv.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "frontends/data/plural_rule_internal.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

constexpr uint32_t kMagic = 0x950412de;
constexpr uint32_t kMagicSwapped = 0xde120495;
constexpr int64_t kHeaderBytes = 20;

std::string lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  return out;
}

// What follows the first `mark` in `text`, up to the next one; false when there is no mark.
bool after_mark(std::string_view text, std::string_view mark, std::string_view& out) {
  const size_t at = text.find(mark);
  if (at == std::string_view::npos) return false;
  out = text.substr(at + mark.size());
  out = out.substr(0, out.find(mark));
  return true;
}

// Turns bytes of one charset into UTF-8.
class Charset {
 public:
  Charset() = default;
  Charset(const Charset&) = delete;
  Charset& operator=(const Charset&) = delete;
  ~Charset() { close(); }

  // False when the charset is unknown.
  bool open(std::string_view name) {
    close();
    name_ = lower_ascii(name);
    if (name_.empty()) name_ = "ascii";
    if (utf8() || name_ == "ascii") return true;
    // A slash would be read as an instruction to iconv ("//IGNORE").
    if (name_.find('/') == std::string::npos) converter_ = iconv_open("UTF-8", name_.c_str());
    return converter_ != kNone;
  }

  const std::string& name() const { return name_; }

  // Appends `bytes` to `out`; returns the offset of the first bad byte, or -1.
  int64_t convert(std::string_view bytes, std::string& out) {
    if (converter_ == kNone) {
      const int64_t bad = utf8() ? find_bad_utf8(bytes) : find_non_ascii(bytes);
      if (bad < 0) out.append(bytes);
      return bad;
    }
    iconv(converter_, nullptr, nullptr, nullptr, nullptr);
    char* in = const_cast<char*>(bytes.data());
    size_t left = bytes.size();
    while (left > 0) {
      char buffer[512];
      char* to = buffer;
      size_t room = sizeof buffer;
      const size_t status = iconv(converter_, &in, &left, &to, &room);
      out.append(buffer, sizeof buffer - room);
      if (status == static_cast<size_t>(-1) && errno != E2BIG) return in - bytes.data();
    }
    return -1;
  }

 private:
  static inline const iconv_t kNone = reinterpret_cast<iconv_t>(-1);

  bool utf8() const { return name_ == "utf-8" || name_ == "utf8" || name_ == "utf_8"; }
  static int64_t find_non_ascii(std::string_view bytes) {
    for (size_t i = 0; i < bytes.size(); ++i)
      if (static_cast<unsigned char>(bytes[i]) >= 0x80) return static_cast<int64_t>(i);
    return -1;
  }
  void close() {
    if (converter_ != kNone) iconv_close(converter_);
    converter_ = kNone;
  }

  std::string name_ = "ascii";
  iconv_t converter_ = kNone;
};

class CatalogueParser {
 public:
  CatalogueParser(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  std::vector<CatalogueEntry> parse() {
    if (size() < kHeaderBytes)
      corrupt(0, "header", "the file has " + std::to_string(size()) + " bytes, a header has 20");
    const uint32_t magic = word(0);
    if (magic != kMagic && magic != kMagicSwapped) corrupt(0, "magic", "is not that of a gettext catalogue");
    swapped_ = magic == kMagicSwapped;
    const uint32_t version = word(4);
    if (version >> 16 > 1)
      corrupt(4, "version", "major version is " + std::to_string(version >> 16) + ", 0 and 1 are known");
    const int64_t count = word(8), sources = word(12), targets = word(16);
    for (const int64_t table : {sources, targets})
      if (count > 0 && (table > size() || count > (size() - table) / 8))
        corrupt(table == sources ? 12 : 16, "string table",
                std::to_string(count) + " entries of 8 bytes at offset " + std::to_string(table) +
                    " do not fit the file of " + std::to_string(size()) + " bytes");
    for (int64_t i = 0; i < count; ++i) message(string_at(sources + 8 * i), string_at(targets + 8 * i));
    return std::move(entries_);
  }

 private:
  [[noreturn]] void corrupt(int64_t offset, const char* field, const std::string& what) const {
    fail(ErrorKind::Corrupt, path_ + ": byte " + std::to_string(offset) + ", " + field + ": " + what);
  }

  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  int64_t offset_of(std::string_view part) const { return part.data() - bytes_.data(); }

  uint32_t word(int64_t at) const {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i)
      value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes_[at + i]))
               << (8 * (swapped_ ? 3 - i : i));
    return value;
  }

  // The string that the table entry at `at` describes. A NUL that does not count follows it, hence "< size".
  std::string_view string_at(int64_t at) {
    const int64_t length = word(at), begin = word(at + 4);
    if (begin + length >= size())
      corrupt(at, "string",
              "bytes " + std::to_string(begin) + " to " + std::to_string(begin + length) +
                  " and a closing NUL lie beyond the end at " + std::to_string(size()));
    // Strings that share their bytes could make a small file fill the memory.
    total_ += length;
    if (total_ > 4 * size() + (1 << 20))
      corrupt(at, "string", "the strings overlap: they add up to over 4 times the file");
    return bytes_.substr(begin, length);
  }

  std::string text(std::string_view raw) {
    std::string out;
    const int64_t bad = charset_.convert(raw, out);
    if (bad >= 0) corrupt(offset_of(raw) + bad, "text", "is not valid in the charset " + charset_.name());
    return out;
  }

  void header_line(std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || (line.starts_with("#-#-#-#-#") && line.ends_with("#-#-#-#-#")))
      return;
    const std::string key = lower_ascii(strip(line.substr(0, colon)));
    const std::string_view value = strip(line.substr(colon + 1));
    std::string_view part;
    if (key == "content-type") {
      if (!after_mark(value, "charset=", part)) corrupt(offset_of(line), "Content-Type", "names no charset");
      if (!charset_.open(part))
        corrupt(offset_of(line), "Content-Type", "the charset '" + std::string(part) + "' is unknown");
    } else if (key == "plural-forms") {
      const size_t first = value.find(';');
      const std::string_view rest =
          first == std::string_view::npos ? std::string_view() : value.substr(first + 1);
      if (!after_mark(rest.substr(0, rest.find(';')), "plural=", part))
        corrupt(offset_of(line), "Plural-Forms", "has no plural= after nplurals=");
      if (const std::string wrong = check_plural_rule(part); !wrong.empty())
        corrupt(offset_of(line), "Plural-Forms", "the rule '" + std::string(part) + "' " + wrong);
    }
  }

  void header(std::string_view raw) {
    if (const int64_t bad = find_bad_utf8(raw); bad >= 0)
      corrupt(offset_of(raw) + bad, "header entry", "is not UTF-8");
    while (!raw.empty()) {
      const size_t end = raw.find('\n');
      header_line(strip(raw.substr(0, end)));
      raw.remove_prefix(end == std::string_view::npos ? raw.size() : end + 1);
    }
  }

  void message(std::string_view source, std::string_view target) {
    if (source.empty()) header(target);
    const size_t nul = source.find('\0');
    if (nul == std::string_view::npos) {
      add(text(source), text(target), -1);
      return;
    }
    if (source.find('\0', nul + 1) != std::string_view::npos)
      corrupt(offset_of(source), "plural message", "has more than two source forms");
    const std::string singular = text(source.substr(0, nul));
    for (int64_t form = 0;; ++form) {
      const size_t end = target.find('\0');
      add(singular, text(target.substr(0, end)), form);
      if (end == std::string_view::npos) break;
      target.remove_prefix(end + 1);
    }
  }

  void add(std::string source, std::string target, int64_t form) {
    // A NUL cannot be part of a source, so it can part it from the form's number.
    const std::string key = form < 0 ? source : source + '\0' + std::to_string(form);
    const auto [place, is_new] = place_.try_emplace(key, entries_.size());
    if (is_new)
      entries_.push_back({std::move(source), std::move(target), form});
    else
      entries_[place->second].target = std::move(target);
  }

  std::string_view bytes_;
  const std::string& path_;
  bool swapped_ = false;
  int64_t total_ = 0;
  Charset charset_;
  std::vector<CatalogueEntry> entries_;
  std::unordered_map<std::string, size_t> place_;
};

}  // namespace

std::vector<CatalogueEntry> parse_catalogue(std::string_view bytes, const std::string& path) {
  return CatalogueParser(bytes, path).parse();
}

std::vector<CatalogueEntry> read_catalogue(const std::string& path) {
  return parse_catalogue(read_file(path), path);
}

}  // namespace fovea::data
