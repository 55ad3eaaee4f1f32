#include "frontends/tools/view/page.h"

#include <string_view>

namespace fovea::tools {
namespace {

constexpr std::string_view kDataMark = "@DATA@";  // in frame.html

// JSON that may stand inside a script element: no "<", so neither an end tag nor a comment can begin in it.
std::string for_script(const nlohmann::ordered_json& json) {
  const std::string text = json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (c == '<')
      out += "\\u003c";
    else if (c == '>')
      out += "\\u003e";
    else if (c == '&')
      out += "\\u0026";
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string page_with(const char* page, const nlohmann::ordered_json& data) {
  const std::string_view fixed = page;
  const size_t at = fixed.find(kDataMark);
  std::string out(fixed.substr(0, at));
  out += for_script(data);
  out += fixed.substr(at + kDataMark.size());
  return out;
}

}  // namespace fovea::tools
