// From the catalogues under a folder to training pairs: finding them, cleaning their messages.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <unordered_set>

#include "framework/base/error.h"
#include "frontends/data/catalogue.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

constexpr char kContextEnd = '\x04';
constexpr size_t kMaxWords = 24;
constexpr size_t kListedLanguages = 20;

std::string without_accelerators(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if ((c == '_' || c == '~' || c == '&') && at < text.size()) {
      size_t next = at;
      if (is_word(next_code_point(text, next))) continue;
    }
    out.append(text.substr(begin, at - begin));
  }
  return std::string(strip(out));
}

struct Folder {
  fs::path path;
  std::string parent_name;  // empty directly under the root
  int64_t parent;           // index, -1 for the root
  dev_t device;
  ino_t inode;
};

struct Catalogues {
  std::vector<std::string> paths;   // of the wanted language, sorted
  std::set<std::string> languages;  // all that have catalogues
};

// A link back to a folder that it lies in would go round for ever.
bool inside_itself(const std::vector<Folder>& folders, int64_t parent, const struct stat& info) {
  for (int64_t i = parent; i >= 0; i = folders[i].parent)
    if (folders[i].device == info.st_dev && folders[i].inode == info.st_ino) return true;
  return false;
}

Catalogues find_catalogues(const std::string& root, const std::string& lang) {
  struct stat info {};
  if (::stat(root.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    invalid("catalogue root '" + root + "' is not a folder");
  Catalogues found;
  std::vector<Folder> folders{{root, "", -1, info.st_dev, info.st_ino}};
  for (size_t i = 0; i < folders.size(); ++i) {
    const fs::path path = folders[i].path;
    const std::string language = folders[i].parent_name;
    const bool messages = !language.empty() && path.filename() == "LC_MESSAGES";
    std::error_code error;  // folders that may not be read count as empty
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (name.starts_with('.')) continue;
      if (messages && name.ends_with(".mo")) {
        found.languages.insert(language);
        if (language == lang) found.paths.push_back(it->path().string());
      }
      if (::stat(it->path().c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
      if (inside_itself(folders, static_cast<int64_t>(i), info)) continue;
      const std::string parent_name = i == 0 ? "" : path.filename().string();
      folders.push_back({it->path(), parent_name, static_cast<int64_t>(i), info.st_dev, info.st_ino});
    }
  }
  std::sort(found.paths.begin(), found.paths.end());
  return found;
}

std::string list_languages(const std::set<std::string>& languages) {
  std::string out;
  size_t listed = 0;
  for (const std::string& language : languages) {
    if (listed++ == kListedLanguages)
      return out + " and " + std::to_string(languages.size() - kListedLanguages) + " more";
    out += (out.empty() ? "" : ", ") + language;
  }
  return out;
}

}  // namespace

bool clean_message(std::string_view source, std::string_view target, TextPair& out) {
  if (source.empty() || target.empty()) return false;
  if (const size_t end = source.rfind(kContextEnd); end != std::string_view::npos)
    source.remove_prefix(end + 1);
  out.source = without_accelerators(source);
  out.target = without_accelerators(target);
  if (out.target.empty() || out.source == out.target) return false;
  if (out.source.find_first_of("\n%<{$") != std::string::npos) return false;
  const size_t words = split_words(out.source).size();
  return words >= 1 && words <= kMaxWords &&
         std::any_of(out.source.begin(), out.source.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

std::vector<TextPair> read_pairs(const std::string& root, const std::string& lang,
                                 std::vector<std::string>* skipped) {
  if (lang.empty() || lang[0] == '.' || lang.find_first_of("/*?[") != std::string::npos)
    invalid("'" + lang + "' is not a language code such as fr or pt_BR");
  const Catalogues found = find_catalogues(root, lang);
  const std::string pattern = root + "/**/" + lang + "/LC_MESSAGES/*.mo";
  if (found.languages.empty()) invalid("no gettext catalogue under '" + root + "': looked for " + pattern);
  if (found.paths.empty())
    invalid("no catalogue of language '" + lang + "' under '" + root + "' (looked for " + pattern +
            "); there are: " + list_languages(found.languages));

  std::vector<TextPair> pairs;
  std::unordered_set<std::string> seen;
  TextPair pair;
  for (const std::string& path : found.paths) {
    try {
      for (const CatalogueEntry& entry : read_catalogue(path))
        if (clean_message(entry.source, entry.target, pair) && seen.insert(pair.source).second)
          pairs.push_back(pair);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Corrupt && error.kind() != ErrorKind::IO) throw;
      if (skipped != nullptr) skipped->push_back(error.what());
    }
  }
  return pairs;
}

}  // namespace fovea::data
