// All layers.
#pragma once

#include "frontends/nn/activation.h"
#include "frontends/nn/attention.h"
#include "frontends/nn/conv.h"
#include "frontends/nn/linear.h"
#include "frontends/nn/norm.h"
#include "frontends/nn/positions.h"
#include "frontends/nn/recurrent.h"
#include "frontends/nn/sequential.h"
#include "frontends/nn/transformer.h"
