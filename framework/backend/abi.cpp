#include "framework/backend/abi.h"

#include <algorithm>

#include "framework/base/error.h"

namespace fovea {

fovea_dtype to_abi(DType t) {
  switch (t) {
    case DType::f32:
      return {2, 32, 1};
    case DType::f64:
      return {2, 64, 1};
    case DType::f16:
      return {2, 16, 1};
    case DType::bf16:
      return {4, 16, 1};
    case DType::i8:
      return {0, 8, 1};
    case DType::i16:
      return {0, 16, 1};
    case DType::i32:
      return {0, 32, 1};
    case DType::i64:
      return {0, 64, 1};
    case DType::u8:
      return {1, 8, 1};
    case DType::boolean:
      break;
  }
  return {6, 8, 1};
}

DType from_abi(fovea_dtype t) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const fovea_dtype known = to_abi(static_cast<DType>(i));
    if (known.code == t.code && known.bits == t.bits && t.lanes == 1) return static_cast<DType>(i);
  }
  invalid("element type {code " + std::to_string(t.code) + ", bits " + std::to_string(t.bits) + ", lanes " +
          std::to_string(t.lanes) + "} is not one of ours");
}

namespace {

fovea_tensor tensor(const OperandSpec& spec) {
  fovea_tensor t{};
  t.struct_size = sizeof t;
  t.dtype = to_abi(spec.dtype);
  t.rank = static_cast<int32_t>(spec.shape.size());
  std::copy(spec.shape.begin(), spec.shape.end(), t.shape);
  std::copy(spec.strides.begin(), spec.strides.end(), t.strides);
  return t;
}

OperandSpec spec(const fovea_tensor& t) {
  if (t.rank < 0 || t.rank > FOVEA_MAX_RANK)
    invalid("operand of rank " + std::to_string(t.rank) + ": the most is 8");
  return {from_abi(t.dtype), Dims(t.shape, t.shape + t.rank), Dims(t.strides, t.strides + t.rank)};
}

}  // namespace

AbiOp::AbiOp(const KernelRequest& r) {
  for (const auto* list : {&r.in, &r.out})
    for (const OperandSpec& s : *list) {
      if (s.shape.size() > FOVEA_MAX_RANK)
        invalid(r.op + ": operand of rank " + std::to_string(s.shape.size()) + ": the most is 8");
      tensors_.push_back(tensor(s));
    }
  auto one = [&](int64_t v) {
    ints_.push_back(std::make_unique<int64_t>(v));
    return ints_.back().get();
  };
  for (const auto& [name, value] : r.attrs) {
    fovea_attr a{};
    a.struct_size = sizeof a;
    a.name = name.c_str();
    a.count = 1;
    if (const auto* v = std::get_if<bool>(&value))
      a.kind = FOVEA_ATTR_BOOL, a.ints = one(*v);
    else if (const auto* v = std::get_if<int64_t>(&value))
      a.kind = FOVEA_ATTR_INT, a.ints = v;
    else if (const auto* v = std::get_if<double>(&value))
      a.kind = FOVEA_ATTR_FLOAT, a.floats = v;
    else if (const auto* v = std::get_if<std::string>(&value))
      a.kind = FOVEA_ATTR_STRING, a.text = v->c_str(), a.count = v->size();
    else if (const auto* v = std::get_if<DType>(&value))
      a.kind = FOVEA_ATTR_DTYPE, a.ints = one(to_abi(*v).code << 8 | to_abi(*v).bits);
    else if (const auto* v = std::get_if<Ints>(&value))
      a.kind = FOVEA_ATTR_INTS, a.ints = v->data(), a.count = v->size();
    else if (const auto* v = std::get_if<Floats>(&value))
      a.kind = FOVEA_ATTR_FLOATS, a.floats = v->data(), a.count = v->size();
    else
      invalid(r.op + ": attribute '" + name + "' cannot be handed to a backend");
    attrs_.push_back(a);
  }
  op_.struct_size = sizeof op_;
  op_.name = r.op.c_str();
  op_.version = 1;
  op_.attr_count = attrs_.size();
  op_.input_count = r.in.size();
  op_.output_count = r.out.size();
  op_.attrs = attrs_.data();
  op_.inputs = tensors_.data();
  op_.outputs = tensors_.data() + r.in.size();
}

KernelRequest from_abi(const fovea_op& op) {
  KernelRequest r;
  r.op = op.name;
  for (size_t i = 0; i < op.attr_count; ++i) {
    const fovea_attr& a = op.attrs[i];
    switch (a.kind) {
      case FOVEA_ATTR_BOOL:
        r.attrs.set(a.name, a.ints[0] != 0);
        break;
      case FOVEA_ATTR_INT:
        r.attrs.set(a.name, a.ints[0]);
        break;
      case FOVEA_ATTR_FLOAT:
        r.attrs.set(a.name, a.floats[0]);
        break;
      case FOVEA_ATTR_STRING:
        r.attrs.set(a.name, std::string(a.text, a.count));
        break;
      case FOVEA_ATTR_DTYPE:
        r.attrs.set(a.name, from_abi(fovea_dtype{static_cast<uint8_t>(a.ints[0] >> 8),
                                                 static_cast<uint8_t>(a.ints[0] & 255), 1}));
        break;
      case FOVEA_ATTR_INTS:
      case FOVEA_ATTR_SHAPE:
        r.attrs.set(a.name, Ints(a.ints, a.ints + a.count));
        break;
      case FOVEA_ATTR_FLOATS:
        r.attrs.set(a.name, Floats(a.floats, a.floats + a.count));
        break;
      default:
        invalid(r.op + ": attribute '" + a.name + "' is of unknown kind " + std::to_string(a.kind));
    }
  }
  for (size_t i = 0; i < op.input_count; ++i) r.in.push_back(spec(op.inputs[i]));
  for (size_t i = 0; i < op.output_count; ++i) r.out.push_back(spec(op.outputs[i]));
  return r;
}

void check(fovea_status status, const std::string& context) {
  if (status.code == FOVEA_OK) return;
  const int kind = status.code >= FOVEA_INVALID_ARGUMENT && status.code <= FOVEA_IO
                       ? status.code - 1
                       : static_cast<int>(ErrorKind::BackendFault);
  Error e(static_cast<ErrorKind>(kind), status.message ? status.message : "the backend gave no reason");
  if (context.empty()) throw e;
  throw e.with_context(context);
}

}  // namespace fovea
