// oneDNN's objects that every primitive needs. Internal: included by sources of this folder only.
#pragma once

#include <dnnl.hpp>
#include <initializer_list>
#include <new>
#include <string>

#include "framework/base/error.h"

namespace fovea::onednn {

/// The one CPU engine.
inline const dnnl::engine& engine() {
  static const auto* cpu = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *cpu;
}

/// The calling thread's stream.
inline dnnl::stream& stream() {
  thread_local dnnl::stream mine(engine());
  return mine;
}

/// Runs a primitive. The C++ interface would make a map of the operands first, on the heap.
inline void execute(const dnnl::primitive& primitive, const dnnl_exec_arg_t* args, size_t count) {
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive.get(), stream().get(), static_cast<int>(count), args),
      "could not execute a primitive");
}
inline void execute(const dnnl::primitive& primitive, std::initializer_list<dnnl_exec_arg_t> args) {
  execute(primitive, args.begin(), args.size());
}

/// Attributes of every primitive: scratch memory is ours, since Debian's build would tie it to the creating
/// thread.
inline dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

/// Calls f() and turns oneDNN's errors into ours; `what` says what was tried.
template <class F>
void with_typed_errors(const char* what, F&& f) {
  try {
    f();
  } catch (const dnnl::error& e) {
    ErrorKind kind = ErrorKind::BackendFault;
    if (e.status == dnnl_out_of_memory) kind = ErrorKind::ResourceExhausted;
    if (e.status == dnnl_unimplemented) kind = ErrorKind::Unsupported;
    fail(kind, std::string(what) + ": oneDNN says: " + e.what() + " (status " +
                   std::to_string(static_cast<int>(e.status)) + ")");
  }
}

}  // namespace fovea::onednn
