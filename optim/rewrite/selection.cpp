#include "optim/rewrite/selection.h"

#include <charconv>

#include "framework/base/error.h"

namespace fovea {
namespace {

constexpr const char* kForms = "-PASS, only:PASS,PASS, print:PASS, until:NUMBER and time";

std::vector<std::string> items_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    std::string_view item = text.substr(0, end);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (!item.empty()) out.emplace_back(item);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

const std::string& known(const std::string& name, const std::set<std::string>& passes) {
  if (!passes.count(name)) {
    std::string all;
    for (const std::string& p : passes) all += (all.empty() ? "" : ", ") + p;
    invalid("FOVEA_PASSES: there is no pass '" + name + "'; the passes are " + all);
  }
  return name;
}

}  // namespace

PassSelection PassSelection::parse(std::string_view text, const std::set<std::string>& passes) {
  PassSelection out;
  std::set<std::string>* list = nullptr;  // where plain names go: the list that the item before began
  for (const std::string& item : items_of(text)) {
    if (item == "time") {
      out.time = true;
    } else if (item[0] == '-') {
      list = &out.skipped;
      list->insert(known(item.substr(1), passes));
    } else if (item.starts_with("only:")) {
      list = &out.only;
      list->insert(known(item.substr(5), passes));
    } else if (item.starts_with("print:")) {
      list = &out.printed;
      list->insert(known(item.substr(6), passes));
    } else if (item.starts_with("until:")) {
      const char *first = item.data() + 6, *last = item.data() + item.size();
      const auto [end, error] = std::from_chars(first, last, out.until);
      if (error != std::errc() || end != last || out.until < 0)
        invalid("FOVEA_PASSES: '" + item + "' holds no number of changes");
    } else if (list && list != &out.skipped) {
      list->insert(known(item, passes));
    } else {
      invalid("FOVEA_PASSES: '" + item + "' is not understood; it takes " + kForms);
    }
  }
  return out;
}

}  // namespace fovea
