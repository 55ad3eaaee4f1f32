// The umbrella header: everything a model author needs.
#pragma once

#include "framework/base/error.h"
#include "framework/base/version.h"
#include "framework/runtime/thread_pool.h"
#include "framework/tensor/array.h"
#include "frontends/cpp/control.h"
#include "frontends/cpp/trace.h"
#include "frontends/nn/model.h"
#include "generated/ops.h"
#include "graph/build/index.h"
#include "graph/build/tensor.h"
#include "graph/serial/model_file.h"
#include "optim/explain/explain.h"
