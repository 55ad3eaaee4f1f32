// Writes small ONNX files field by field, for tests of the reader.
#pragma once

#include <cctype>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::test {

/// A Protobuf message as bytes.
class Message {
 public:
  Message& number(uint32_t field, int64_t value) {
    varint(uint64_t{field} << 3);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& real(uint32_t field, float value) {
    varint(uint64_t{field} << 3 | 5);
    bytes_.append(reinterpret_cast<const char*>(&value), 4);
    return *this;
  }
  Message& text(uint32_t field, std::string_view value) {
    varint(uint64_t{field} << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& add(uint32_t field, const Message& value) { return text(field, value.bytes()); }
  void varint(uint64_t v) {
    for (; v >= 128; v >>= 7) bytes_ += static_cast<char>(v | 128);
    bytes_ += static_cast<char>(v);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

inline constexpr int kFloat = 1, kInt64 = 7;

/// A tensor of raw data.
template <class T>
Message raw_tensor(std::string_view name, int type, const std::vector<int64_t>& dims,
                   const std::vector<T>& values) {
  Message m;
  for (int64_t d : dims) m.number(1, d);
  m.number(2, type).text(8, name);
  return m.text(9, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}
inline Message floats(std::string_view name, const std::vector<int64_t>& dims,
                      const std::vector<float>& values) {
  return raw_tensor(name, kFloat, dims, values);
}
inline Message integers(std::string_view name, const std::vector<int64_t>& values) {
  return raw_tensor(name, kInt64, {static_cast<int64_t>(values.size())}, values);
}

// Attributes of nodes.
inline Message int_attribute(std::string_view name, int64_t value) {
  return Message().text(1, name).number(3, value).number(20, 2);
}
inline Message float_attribute(std::string_view name, float value) {
  return Message().text(1, name).real(2, value).number(20, 1);
}
inline Message ints_attribute(std::string_view name, const std::vector<int64_t>& values) {
  Message m;
  m.text(1, name).number(20, 7);
  for (int64_t v : values) m.number(8, v);
  return m;
}
inline Message graph_attribute(std::string_view name, const Message& graph) {
  return Message().text(1, name).add(6, graph).number(20, 5);
}
/// Attribute `name` of a node in a function: the value of the call's attribute `of`.
inline Message reference_attribute(std::string_view name, std::string_view of, int type) {
  return Message().text(1, name).text(21, of).number(20, type);
}

inline Message node(std::string_view op, const std::vector<std::string>& inputs,
                    const std::vector<std::string>& outputs, const std::vector<Message>& attributes = {},
                    std::string_view name = "", std::string_view domain = "") {
  Message m;
  for (const auto& i : inputs) m.text(1, i);
  for (const auto& o : outputs) m.text(2, o);
  if (!name.empty()) m.text(3, name);
  m.text(4, op);
  for (const auto& a : attributes) m.add(5, a);
  if (!domain.empty()) m.text(7, domain);
  return m;
}

/// A graph's input or output; a dim is a number, a name, or "?" for one left open.
inline Message value(std::string_view name, int type, const std::vector<std::string>& dims) {
  Message shape;
  for (const std::string& d : dims) {
    Message dim;
    if (d != "?" && !d.empty() && (std::isdigit(static_cast<unsigned char>(d[0])) || d[0] == '-'))
      dim.number(1, std::stoll(d));
    else if (d != "?")
      dim.text(2, d);
    shape.add(1, dim);
  }
  return Message().text(1, name).add(2, Message().add(1, Message().number(1, type).add(2, shape)));
}

inline Message graph(const std::vector<Message>& nodes, const std::vector<Message>& initializers,
                     const std::vector<Message>& inputs, const std::vector<Message>& outputs) {
  Message m;
  for (const auto& n : nodes) m.add(1, n);
  m.text(2, "test");
  for (const auto& t : initializers) m.add(5, t);
  for (const auto& i : inputs) m.add(11, i);
  for (const auto& o : outputs) m.add(12, o);
  return m;
}

inline Message opset(std::string_view domain, int64_t version) {
  return Message().text(1, domain).number(2, version);
}

inline Message model(const Message& graph, int64_t version = 18, const std::vector<Message>& functions = {}) {
  Message m;
  m.number(1, 8).add(7, graph).add(8, opset("", version));
  for (const auto& f : functions) m.add(25, f);
  return m;
}

}  // namespace fovea::test
