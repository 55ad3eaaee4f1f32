// Records of candidates, in words.
#pragma once

#include "optim/attention/match.h"

namespace fovea::match {

FusionRecord record_of(const View& view, const Verdict& verdict);

}  // namespace fovea::match
