// Memory that is about to be written, made ready by all threads.
#pragma once

#include "framework/tensor/array.h"

namespace fovea {

/// Lets the system give all pages of a large allocation at once, on the threads of the default pool. Left to
/// the first use, each page costs a fault in the middle of a kernel; one that is read before it is written
/// (zeros) costs two, and the second interrupts the other processors.
void take_pages(const Buffer& buffer);

}  // namespace fovea
