#include <algorithm>
#include <cmath>

#include "framework/base/error.h"
#include "frontends/import/onnx/importer_internal.h"
#include "generated/ops.h"

namespace fovea::onnx {

using onnx_file::AttributeProto;

const AttributeProto* find_attribute(const NodeState& state, std::string_view name) {
  for (const auto& a : state.node.attribute()) {
    if (a.name() != name) continue;
    if (a.ref_attr_name().empty()) return &a;
    if (!state.scope.arguments) return nullptr;
    const auto at = state.scope.arguments->find(a.ref_attr_name());
    return at == state.scope.arguments->end() ? nullptr : at->second;
  }
  return nullptr;
}

namespace {

constexpr int64_t kMostKnown = 1024;

// The attribute, which must be of this type where it is there. Old files leave the type out.
const AttributeProto* typed(const Context& c, const NodeState& state, std::string_view name,
                            AttributeProto::AttributeType type) {
  const AttributeProto* a = find_attribute(state, name);
  if (a && a->type() != type && a->type() != AttributeProto::UNDEFINED)
    c.invalid("attribute '" + std::string(name) + "' is of type " +
              AttributeProto::AttributeType_Name(a->type()) + ", not " +
              AttributeProto::AttributeType_Name(type));
  return a;
}

[[noreturn]] void missing(const Context& c, std::string_view name) {
  c.invalid("it has no attribute '" + std::string(name) + "'");
}

}  // namespace

const std::string& Context::op() const { return state_.node.op_type(); }
const std::string& Context::name() const { return state_.name; }
int64_t Context::opset() const { return state_.opset; }

void Context::unsupported(std::string_view sentence) const {
  fail(ErrorKind::Unsupported, "node '" + name() + "' (" + op() + "): " + std::string(sentence));
}
void Context::invalid(std::string_view sentence) const {
  fovea::invalid("node '" + name() + "' (" + op() + "): " + std::string(sentence));
}

size_t Context::inputs() const { return state_.inputs.size(); }
bool Context::has(size_t i) const { return i < state_.inputs.size() && state_.inputs[i]; }
Tensor Context::in(size_t i) {
  if (!has(i)) invalid("it has no input " + std::to_string(i));
  return state_.importer.tensor_of(*state_.inputs[i]);
}
Tensor Context::optional(size_t i) { return has(i) ? in(i) : Tensor(); }
size_t Context::outputs() const { return static_cast<size_t>(state_.node.output_size()); }
bool Context::wants(size_t i) const {
  return i < outputs() && !state_.node.output(static_cast<int>(i)).empty();
}

bool Context::has_attr(std::string_view name) const { return find_attribute(state_, name) != nullptr; }
int64_t Context::integer(std::string_view name) const {
  const auto* a = typed(*this, state_, name, AttributeProto::INT);
  if (!a) missing(*this, name);
  return a->i();
}
int64_t Context::integer(std::string_view name, int64_t fallback) const {
  return has_attr(name) ? integer(name) : fallback;
}
double Context::number(std::string_view name) const {
  const auto* a = typed(*this, state_, name, AttributeProto::FLOAT);
  if (!a) missing(*this, name);
  return a->f();
}
double Context::number(std::string_view name, double fallback) const {
  return has_attr(name) ? number(name) : fallback;
}
std::string Context::text(std::string_view name) const {
  const auto* a = typed(*this, state_, name, AttributeProto::STRING);
  if (!a) missing(*this, name);
  return a->s();
}
std::string Context::text(std::string_view name, std::string_view fallback) const {
  return has_attr(name) ? text(name) : std::string(fallback);
}
Ints Context::ints(std::string_view name, Ints fallback) const {
  const auto* a = typed(*this, state_, name, AttributeProto::INTS);
  return a ? Ints(a->ints().begin(), a->ints().end()) : fallback;
}
Floats Context::floats(std::string_view name, Floats fallback) const {
  const auto* a = typed(*this, state_, name, AttributeProto::FLOATS);
  return a ? Floats(a->floats().begin(), a->floats().end()) : fallback;
}
std::vector<std::string> Context::texts(std::string_view name) const {
  const auto* a = typed(*this, state_, name, AttributeProto::STRINGS);
  if (!a) return {};
  return {a->strings().begin(), a->strings().end()};
}
Array Context::tensor(std::string_view name) const {
  const auto* a = typed(*this, state_, name, AttributeProto::TENSOR);
  if (!a || !a->has_t()) missing(*this, name);
  return state_.importer.file().read(a->t(),
                                     "attribute '" + std::string(name) + "' of node '" + state_.name + "'");
}
DType Context::dtype(std::string_view name) const {
  const int64_t number = integer(name);
  const auto found = dtype_of_onnx(number);
  if (!found) unsupported("attribute '" + std::string(name) + "' is the type " + onnx_dtype_name(number));
  return *found;
}
DType Context::dtype(std::string_view name, DType fallback) const {
  return has_attr(name) ? dtype(name) : fallback;
}

std::optional<Known> known_of(Importer& importer, Item& item) {
  if (item.known) return item.known;
  if (item.initializer) {  // only small ones are read for this
    const auto dtype = dtype_of_onnx(item.initializer->data_type());
    if (!dtype || is_floating(*dtype)) return {};
    int64_t n = 1;
    for (int64_t d : item.initializer->dims())
      if (d < 0 || __builtin_mul_overflow(n, d, &n) || n > kMostKnown) return {};
    importer.tensor_of(item);
  }
  if (!item.tensor.defined() || item.tensor.traced()) return {};
  const Array& array = item.tensor.array();
  if (is_floating(array.dtype()) || array.size() > kMostKnown) return {};
  Known out{array.shape(), {}, array.dtype()};
  for (int64_t v : array.to_vector<int64_t>()) out.values.emplace_back(v);
  item.known = out;
  return out;
}

std::optional<Known> Context::known(size_t i) {
  if (!has(i)) return {};
  return known_of(state_.importer, *state_.inputs[i]);
}

std::optional<Array> Context::constant(size_t i) {
  if (!has(i)) return {};
  Item& item = *state_.inputs[i];
  if (item.initializer || (item.tensor.defined() && !item.tensor.traced())) return in(i).array();
  if (item.known && item.known->is_const()) return to_tensor(*item.known).array();
  return {};
}

std::optional<Array> Context::evaluated(size_t i) {
  if (auto array = constant(i)) return array;
  return has(i) ? state_.importer.evaluate(in(i)) : std::nullopt;
}

Ints Context::const_ints(size_t i) {
  auto known = this->known(i);
  if (!known)  // whole numbers may be of a floating type
    if (const auto array = evaluated(i); array && array->size() <= kMostKnown) {
      known = Known{array->shape(), {}, DType::i64};
      for (double x : array->to_vector<double>()) {
        if (std::trunc(x) != x || std::abs(x) > 0x1p53)
          invalid("its input " + std::to_string(i) + " holds " + std::to_string(x) + ", no whole number");
        known->values.emplace_back(static_cast<int64_t>(x));
      }
    }
  if (!has(i)) invalid("it has no input " + std::to_string(i));
  if (!known || !known->is_const())
    unsupported("its input " + std::to_string(i) + " ('" + state_.node.input(static_cast<int>(i)) +
                "') must be known when the model is read, it is computed when it runs");
  Ints out;
  for (const Dim& d : known->values) out.push_back(d.value());
  return out;
}
int64_t Context::const_int(size_t i) {
  const Ints all = const_ints(i);
  if (all.size() != 1)
    invalid("its input " + std::to_string(i) + " has " + std::to_string(all.size()) + " elements, not 1");
  return all[0];
}
double Context::const_number(size_t i) {
  const auto array = evaluated(i);
  if (!has(i)) invalid("it has no input " + std::to_string(i));
  if (!array)
    unsupported("its input " + std::to_string(i) + " ('" + state_.node.input(static_cast<int>(i)) +
                "') must be known when the model is read, it is computed when it runs");
  if (array->size() != 1)
    invalid("its input " + std::to_string(i) + " has " + std::to_string(array->size()) + " elements, not 1");
  return array->get_flat(0);
}
Shape Context::dims(size_t i) {
  const auto known = this->known(i);
  if (!has(i)) invalid("it has no input " + std::to_string(i));
  if (!known) {
    const auto array = evaluated(i);
    if (array && !is_floating(array->dtype()) && array->size() <= kMostKnown) {
      const auto values = array->to_vector<int64_t>();
      return Shape(values.begin(), values.end());
    }
  }
  if (!known)
    unsupported("its input " + std::to_string(i) + " ('" + state_.node.input(static_cast<int>(i)) +
                "') must be known when the model is read, it depends on what the model's inputs hold");
  return known->values;
}
Dim Context::dim(size_t i) {
  const Shape all = dims(i);
  if (all.size() != 1)
    invalid("its input " + std::to_string(i) + " has " + std::to_string(all.size()) + " elements, not 1");
  return all[0];
}
Ints Context::ints_at(size_t i, std::string_view name, Ints fallback) {
  return has(i) ? const_ints(i) : ints(name, std::move(fallback));
}

void Context::set_known(size_t output, Known value) {
  if (output < state_.known.size()) state_.known[output] = std::move(value);
}

bool Context::has_sequence(size_t i) const { return has(i) && state_.inputs[i]->sequence; }
const std::vector<Tensor>& Context::sequence(size_t i) const {
  if (!has(i)) invalid("it has no input " + std::to_string(i));
  if (!state_.inputs[i]->sequence) invalid("its input " + std::to_string(i) + " is no sequence");
  return *state_.inputs[i]->sequence;
}
void Context::set_sequence(size_t output, std::vector<Tensor> parts) {
  if (output < state_.sequences.size())
    state_.sequences[output] = std::make_shared<const std::vector<Tensor>>(std::move(parts));
}

std::vector<Tensor> Context::subgraph(std::string_view name) {
  const auto* a = typed(*this, state_, name, AttributeProto::GRAPH);
  if (!a || !a->has_g()) missing(*this, name);
  std::vector<Tensor> out;
  for (Item& item : state_.importer.convert_subgraph(a->g(), state_.scope, state_.name))
    out.push_back(state_.importer.tensor_of(item));
  return out;
}

Tensor to_tensor(const Known& known) {
  if (known.is_const()) {
    std::vector<int64_t> values;
    for (const Dim& d : known.values) values.push_back(d.value());
    return Array::of(values, known.shape).cast(known.dtype);
  }
  if (known.values.size() == 1)
    return known.shape.empty() ? extent(known.values[0], known.dtype)
                               : reshape(extent(known.values[0], known.dtype), to_shape(known.shape));
  std::vector<Tensor> parts;
  for (const Dim& d : known.values)
    parts.push_back(d.is_const() ? Tensor(Array::scalar(d.value()).cast(known.dtype))
                                 : extent(d, known.dtype));
  const Tensor row = stack(parts, 0);
  return known.shape.size() == 1 ? row : reshape(row, to_shape(known.shape));
}

int64_t axis_of(const Context& c, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    c.invalid("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
  return axis < 0 ? axis + rank : axis;
}
Ints axes_of(const Context& c, Ints axes, int64_t rank) {
  for (int64_t& axis : axes) axis = axis_of(c, axis, rank);
  return axes;
}

}  // namespace fovea::onnx
