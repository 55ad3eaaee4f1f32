#pragma once

#include "graph/build/index.h"  // all(x, axes, keepdims) is declared there: `all` stands in indices, too
