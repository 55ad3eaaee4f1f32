// Conditions that ask whether a row of scores has any key.
#pragma once

#include "optim/attention/match.h"

namespace fovea::match {

/// True where `condition` is `holds` only in rows all of whose scores are minus infinity: max(scores) ==
/// -inf, not any(mask), all(bias == -inf). `score`: as the reader read it. Such a row is a guard of the node,
/// and the condition, which may be made of all scores, need not be computed.
bool asks_for_empty_rows(const View& view, LabelTable& table, Expressions& e, Reader& reader, int32_t score,
                         const Labels& keys, Ref condition, bool holds);

}  // namespace fovea::match
