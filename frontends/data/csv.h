// Comma-separated tables (RFC 4180).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

/// How a CSV file is written.
struct CsvOptions {
  char delimiter = ',';
  bool header = true;  ///< the first record names the columns
};

/// A table of text cells; every row has as many as the first record of the file.
struct CsvTable {
  std::vector<std::string> header;  ///< empty when the file has none
  std::vector<std::vector<std::string>> rows;

  /// Index of a named column; InvalidArgument listing the names when there is none.
  size_t column(std::string_view name) const;
};

/// Reads a table: cells in double quotes may hold delimiters, line ends and doubled quotes; records end in LF
/// or CR LF. Corrupt with path:line for rows of other lengths, quotes in the wrong place and text that is not
/// UTF-8.
CsvTable parse_csv(std::string_view text, const std::string& path, const CsvOptions& options = {});

/// parse_csv of a file, plain or gzip.
CsvTable read_csv(const std::string& path, const CsvOptions& options = {});

}  // namespace fovea::data
