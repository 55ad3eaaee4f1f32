#include "frontends/data/csv.h"

#include <algorithm>

#include "framework/base/error.h"
#include "frontends/data/gzip.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& path, char delimiter)
      : text_(text), path_(path), delimiter_(delimiter) {}

  bool done() const { return at_ == text_.size(); }
  int64_t line() const { return line_; }

  [[noreturn]] void corrupt(int64_t line, const std::string& what) const {
    fail(ErrorKind::Corrupt, path_ + ":" + std::to_string(line) + ": " + what);
  }

  std::vector<std::string> record() {
    std::vector<std::string> cells;
    do {
      cells.push_back(!done() && text_[at_] == '"' ? quoted() : plain());
    } while (take(delimiter_));
    if (!done() && !line_end())
      corrupt(line_, std::string("'") + text_[at_] + "' follows the closing quote of column " +
                         std::to_string(cells.size()));
    return cells;
  }

 private:
  bool take(char c) { return !done() && text_[at_] == c ? (++at_, true) : false; }

  bool line_end() {
    const size_t begin = at_;
    take('\r');
    if (take('\n')) return ++line_, true;
    at_ = begin;
    return false;
  }

  std::string plain() {
    const size_t begin = at_;
    while (!done() && text_[at_] != delimiter_ && text_[at_] != '\n') {
      if (text_[at_] == '"') corrupt(line_, "a quote within a cell that does not start with one");
      ++at_;
    }
    // The CR of a CR LF is the record's, not the cell's.
    if (at_ > begin && !done() && text_[at_] == '\n' && text_[at_ - 1] == '\r') --at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    const int64_t first_line = line_;
    std::string cell;
    for (++at_; !done(); ++at_) {
      if (text_[at_] == '"' && !(at_ + 1 < text_.size() && text_[at_ + 1] == '"')) return ++at_, cell;
      if (text_[at_] == '"') ++at_;
      if (text_[at_] == '\n') ++line_;
      cell += text_[at_];
    }
    corrupt(first_line, "a quote is opened and never closed");
  }

  std::string_view text_;
  const std::string& path_;
  char delimiter_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

size_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found != header.end()) return found - header.begin();
  std::string names;
  for (const std::string& column : header) names += (names.empty() ? "" : ", ") + column;
  invalid("no column '" + std::string(name) +
          "'; there are: " + (names.empty() ? "no named columns" : names));
}

CsvTable parse_csv(std::string_view text, const std::string& path, const CsvOptions& options) {
  if (options.delimiter == '"' || options.delimiter == '\n' || options.delimiter == '\r')
    invalid("a CSV delimiter cannot be a quote or a line end");
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  CsvParser parser(text, path, options.delimiter);
  if (const int64_t bad = find_bad_utf8(text); bad >= 0)
    parser.corrupt(1 + std::count(text.begin(), text.begin() + bad, '\n'),
                   "is not UTF-8 at byte " + std::to_string(bad));

  CsvTable table;
  size_t columns = 0;
  while (!parser.done()) {
    const int64_t line = parser.line();
    std::vector<std::string> cells = parser.record();
    if (columns == 0) columns = cells.size();
    if (cells.size() != columns)
      parser.corrupt(line, "has " + std::to_string(cells.size()) + " columns, the first record has " +
                               std::to_string(columns));
    if (options.header && table.header.empty())
      table.header = std::move(cells);
    else
      table.rows.push_back(std::move(cells));
  }
  return table;
}

CsvTable read_csv(const std::string& path, const CsvOptions& options) {
  return parse_csv(read_gzip_or_plain(path), path, options);
}

}  // namespace fovea::data
