#include "optim/explain/record.h"

namespace fovea {
namespace {

const char* name_of(Reason reason) {
  switch (reason) {
    case Reason::none:
      return "";
    case Reason::axis:
      return "AXIS";
    case Reason::escape_p:
      return "ESCAPE_P";
    case Reason::escape_s:
      return "ESCAPE_S";
    case Reason::non_pointwise:
      return "NON_POINTWISE";
    case Reason::reduces_j:
      return "REDUCES_J";
    case Reason::head_mix:
      return "HEAD_MIX";
    case Reason::denominator:
      return "DENOMINATOR";
    case Reason::empty_row:
      return "EMPTY_ROW";
    case Reason::dtype:
      return "DTYPE";
    case Reason::backend:
      return "BACKEND";
    case Reason::cost:
      return "COST";
  }
  return "";
}

}  // namespace

std::string code_of(const FusionRecord& record) {
  const std::string name = name_of(record.reason);
  const bool speaks = record.reason == Reason::non_pointwise || record.reason == Reason::backend;
  return speaks && !record.detail.empty() ? name + "(" + record.detail + ")" : name;
}

}  // namespace fovea
