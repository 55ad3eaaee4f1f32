// The .fovea file: what is saved is loaded, and nothing that is wrong with a file does more than throw a
// typed error.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "framework/base/digest.h"
#include "framework/base/file.h"
#include "graph/serial/model_file.h"
#include "tests/unit/module_test_util.h"

using namespace fovea;
using namespace fovea::test;

namespace {

class Serial : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  /// `bytes` as a file.
  std::string stored(const std::string& bytes, const std::string& name = "damaged.fovea") const {
    std::filesystem::remove(path(name));  // writing over a file can wait for the disk
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

 private:
  std::string folder_ = testing::TempDir() + "fovea_serial_" + std::to_string(getpid());
};

void expect_same(const Array& a, const Array& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  const Array x = a.contiguous(), y = b.contiguous();
  EXPECT_EQ(std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.nbytes())), 0);
}

void expect_same(const ModelFile& a, const ModelFile& b) {
  EXPECT_EQ(difference(*a.module, *b.module), "");
  EXPECT_EQ(a.metadata, b.metadata);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].first, b.tensors[i].first);
    expect_same(a.tensors[i].second, b.tensors[i].second);
  }
}

ModelFile sample_file(unsigned seed, int nodes = 12) {
  std::mt19937 random(seed);
  ModelFile file;
  file.module = random_module(seed, nodes);
  for (int t = 0; t < kDTypeCount; ++t)
    file.tensors.emplace_back("tensor." + std::to_string(t),
                              random_bytes(static_cast<DType>(t), {3, 5}, random));
  file.tensors.emplace_back("scalar", Array::scalar(2.5f));
  file.tensors.emplace_back("empty", Array(DType::f32, {0, 7}));
  file.tensors.emplace_back("strided",
                            random_bytes(DType::i32, {4, 6}, random).transpose(0, 1).slice(0, 5, -7, -2));
  file.tensors.emplace_back("", random_bytes(DType::u8, {1}, random));
  file.metadata = {{"tokenizer", std::string("\0\xFF\n{}", 5)}, {"empty", ""}, {"k\xFFy", "value"}};
  return file;
}

ModelFile tiny_file() {
  ModelFile file;
  file.module = std::make_shared<Module>();
  auto builder = Builder::make(file.module, "main");
  const Tensor x = builder->input("x", {DType::f32, {Dim::symbol("B"), 2}}, {"m.cpp", 3});
  const Tensor w = builder->constant(Array::of(std::vector<float>{1, 2}, {2}));
  builder->output("y", builder->add(find_op("mul"), {x, w}, {}, {"m.cpp", 4})[0]);
  builder->finish();
  file.tensors.emplace_back("w", Array::of(std::vector<int16_t>{1, 2, 3}, {3}));
  file.metadata["k"] = "v";
  return file;
}

/// The file's digest of header and graph made right again, so that what lies behind that check is reached.
std::string with_digest(std::string bytes) {
  uint64_t graph = 0;
  for (int i = 8; i-- > 0;)
    graph = graph << 8 | static_cast<unsigned char>(bytes[16 + static_cast<size_t>(i)]);
  if (graph > bytes.size() - 64) return bytes;
  Digester digester;
  digester.update(bytes.data(), 48);
  digester.update(bytes.data() + 64, static_cast<int64_t>(graph));
  const Digest digest = digester.value();
  std::copy(digest.bytes.begin(), digest.bytes.end(), bytes.begin() + 48);
  return bytes;
}

/// A file with this graph and nothing behind it.
std::string file_of_graph(const std::string& graph) {
  std::string bytes(
      "\x89"
      "FOVEA\r\n\1\0\0\0\0\0\0\0",
      16);
  const uint64_t whole = (64 + graph.size() + 63) / 64 * 64;
  for (uint64_t v : {uint64_t{graph.size()}, whole})
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(v >> (8 * i));
  bytes.resize(64, '\0');
  bytes += graph;
  bytes.resize(whole, '\0');
  return with_digest(bytes);
}

TEST_F(Serial, RandomFilesLoadAsTheyWereSaved) {
  for (unsigned seed = 0; seed < 25; ++seed) {
    const ModelFile file = sample_file(seed);
    save(path("a.fovea"), file);
    expect_same(file, load(path("a.fovea")));
    expect_same(file, load(path("a.fovea"), {.map = true}));
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST_F(Serial, SavingTwiceGivesTheSameBytes) {
  save(path("a"), sample_file(3));
  save(path("b"), load(path("a")));
  EXPECT_EQ(read_file(path("a")), read_file(path("b")));
}

TEST_F(Serial, WeightsAreAligned) {
  save(path("a"), sample_file(4));
  const FileSummary s = inspect(path("a"));
  for (const auto& t : s.tensors) EXPECT_EQ(t.offset % 64, 0) << t.name;
  const ModelFile mapped = load(path("a"), {.map = true});
  for (const auto& [name, array] : mapped.tensors)
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array.raw()) % 64, 0u) << name;
}

TEST_F(Serial, SharedMemoryIsWrittenOnceAndSharedAgain) {
  ModelFile file;
  const Array w = Array::full(DType::f32, {64, 64}, 0.5);
  file.tensors = {{"a", w}, {"tied", w}, {"view", w.transpose(0, 1)}, {"equal", w.copy()}};
  save(path("a"), file);
  EXPECT_LT(std::filesystem::file_size(path("a")), 3 * 64 * 64 * 4 + 2048u);
  const ModelFile back = load(path("a"));
  EXPECT_EQ(back.tensors[0].second.raw(), back.tensors[1].second.raw());
  EXPECT_NE(back.tensors[0].second.raw(), back.tensors[2].second.raw());
  EXPECT_NE(back.tensors[0].second.raw(), back.tensors[3].second.raw());
}

TEST_F(Serial, AMappedFileCanBeWrittenToAndSavedOver) {
  const ModelFile file = tiny_file();
  save(path("a"), file);
  const std::string before = read_file(path("a"));
  ModelFile mapped = load(path("a"), {.map = true});
  mapped.tensors[0].second.set_flat(0, 9);
  EXPECT_EQ(read_file(path("a")), before);
  save(path("a"), mapped);
  EXPECT_EQ(mapped.tensors[0].second.get_flat(0), 9);
  EXPECT_EQ(load(path("a")).tensors[0].second.get_flat(0), 9);
}

TEST_F(Serial, InspectTellsWhatIsInside) {
  const ModelFile file = tiny_file();
  save(path("a"), file);
  const FileSummary s = inspect(path("a"));
  EXPECT_EQ(s.version_major, 1);
  EXPECT_EQ(s.file_bytes, static_cast<int64_t>(std::filesystem::file_size(path("a"))));
  ASSERT_EQ(s.functions.size(), 1u);
  const FunctionSummary& f = s.functions[0];
  EXPECT_EQ(f.name, "main");
  EXPECT_EQ(f.nodes, 3);
  EXPECT_TRUE(f.entry_point);
  ASSERT_EQ(f.inputs.size(), 1u);
  EXPECT_EQ(f.inputs[0].first + " " + to_string(f.inputs[0].second), "x f32[B, 2]");
  ASSERT_EQ(f.outputs.size(), 1u);
  EXPECT_EQ(f.outputs[0].first + " " + to_string(f.outputs[0].second), "y f32[B, 2]");
  ASSERT_EQ(s.tensors.size(), 1u);
  EXPECT_EQ(s.tensors[0].name, "w");
  EXPECT_EQ(s.tensors[0].shape, (Dims{3}));
  EXPECT_EQ(s.tensors[0].bytes, 6);
  EXPECT_EQ(s.constants.size(), 1u);
  EXPECT_EQ(s.metadata, (std::vector<std::pair<std::string, int64_t>>{{"k", 1}}));
  EXPECT_EQ(s.ops.size(), 3u);
  EXPECT_TRUE(load(path("a"), {.tensors = false}).tensors.empty());
}

TEST_F(Serial, EveryTruncationIsATypedError) {
  save(path("a"), tiny_file());
  const std::string whole = read_file(path("a"));
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::string p = stored(whole.substr(0, n));
    for (bool map : {false, true}) {
      const std::string message = error_of(ErrorKind::Corrupt, [&] { load(p, {.map = map}); });
      ASSERT_NE(message.find("damaged.fovea"), std::string::npos) << n << ": " << message;
    }
    error_of(ErrorKind::Corrupt, [&] { inspect(p); });
    ASSERT_FALSE(HasFailure()) << "at " << n;
  }
  error_of(ErrorKind::Corrupt, [&] { load(stored(whole + '\0')); });
}

TEST_F(Serial, EveryFlippedByteIsATypedErrorOrPadding) {
  const ModelFile file = tiny_file();
  save(path("a"), file);
  const std::string whole = read_file(path("a"));
  const FileSummary s = inspect(path("a"));
  size_t padding = 0;
  for (size_t i = 0; i < whole.size(); ++i)
    for (int bit : {0, 7}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      try {
        const ModelFile back = load(stored(damaged));
        expect_same(file, back);
        ++padding;
        ASSERT_GE(static_cast<int64_t>(i), 64 + s.graph_bytes) << "byte " << i << " is no padding";
      } catch (const Error& e) {
        ASSERT_TRUE(e.kind() == ErrorKind::Corrupt ||
                    (e.kind() == ErrorKind::VersionMismatch && (i == 8 || i == 9)))
            << i << e.what();
      }
    }
  EXPECT_LT(padding, 2 * 64 * 4u);
}

TEST_F(Serial, DamageBehindARightDigestIsATypedErrorOrAValidModule) {
  std::mt19937 random(11);
  for (unsigned seed = 0; seed < 3; ++seed) {
    save(path("a"), sample_file(seed, 4));
    const std::string whole = read_file(path("a"));
    const size_t graph = static_cast<size_t>(inspect(path("a")).graph_bytes);
    int refused = 0;
    for (int i = 0; i < 700; ++i) {
      std::string damaged = whole;
      for (int k = 0; k <= i % 3; ++k) damaged[64 + random() % graph] = static_cast<char>(random());
      const std::string p = stored(with_digest(damaged));
      try {
        verify(*load(p).module);
        inspect(p);
      } catch (const Error& e) {
        ++refused;
        const std::string text = e.what();
        ASSERT_NE(text.find("damaged.fovea"), std::string::npos) << text;
      }
    }
    EXPECT_GT(refused, 200);
  }
}

TEST_F(Serial, OtherFilesAreNamedForWhatTheyAre) {
  const std::string zip = error_of(
      ErrorKind::Corrupt, [&] { load(stored(std::string("PK\3\4\x14\0\0\0", 8) + std::string(100, 'x'))); });
  EXPECT_NE(zip.find("not a .fovea file: begins with \"PK\\x03\\x04\\x14\\x00\\x00\\x00\""),
            std::string::npos)
      << zip;
  const std::string text = error_of(ErrorKind::Corrupt, [&] { load(stored("hi")); });
  EXPECT_NE(text.find("begins with \"hi\""), std::string::npos) << text;
  error_of(ErrorKind::IO, [&] { load(path("absent")); });
  error_of(ErrorKind::Corrupt, [&] { load(stored("")); });
}

TEST_F(Serial, ANewerMajorVersionNamesBoth) {
  save(path("a"), tiny_file());
  std::string bytes = read_file(path("a"));
  bytes[8] = 2;
  const std::string message = error_of(ErrorKind::VersionMismatch, [&] { load(stored(with_digest(bytes))); });
  EXPECT_NE(message.find("version 2.0"), std::string::npos) << message;
  EXPECT_NE(message.find("up to 1.x"), std::string::npos) << message;
  bytes[8] = 1;
  bytes[10] = 7;  // a newer minor version is read
  expect_same(tiny_file(), load(stored(with_digest(bytes))));
}

TEST_F(Serial, UnknownAndNewerOpsAreListedAtOnce) {
  save(path("a"), tiny_file());
  const std::string bytes = read_file(path("a"));
  std::string unknown = bytes;
  unknown.replace(unknown.find("\3mul") + 1, 3, "mux");
  unknown.replace(unknown.find("constant"), 8, "konstant");
  const std::string p = stored(with_digest(unknown));
  const std::string message = error_of(ErrorKind::Unsupported, [&] { load(p); });
  EXPECT_NE(message.find("'mux' version 1: main %2"), std::string::npos) << message;
  EXPECT_NE(message.find("'konstant' version 1: main %1"), std::string::npos) << message;
  EXPECT_EQ(inspect(p).functions[0].nodes, 3);
  std::string newer = bytes;
  newer[newer.find("\3mul\x10\1") + 5] = 9;
  const std::string both = error_of(ErrorKind::VersionMismatch, [&] { load(stored(with_digest(newer))); });
  EXPECT_NE(both.find("'mul' version 9 (this program has version 1): main %2"), std::string::npos) << both;
}

TEST_F(Serial, WhatVerifyRefusesIsNotSaved) {
  ModelFile file = tiny_file();
  file.module->functions["main"]->nodes[2].outputs[0].dtype = DType::f64;
  error_of(ErrorKind::InvalidArgument, [&] { save(path("a"), file); });
  EXPECT_FALSE(std::filesystem::exists(path("a")));
  file = tiny_file();
  file.tensors.push_back(file.tensors[0]);
  error_of(ErrorKind::InvalidArgument, [&] { save(path("a"), file); });
  file.tensors = {{"none", Array()}};
  error_of(ErrorKind::InvalidArgument, [&] { save(path("a"), file); });
}

TEST_F(Serial, MemoryIsBoundedByTheFile) {
  auto grown = [&](const std::function<void()>& f) {
    struct rusage before {
    }, after{};
    getrusage(RUSAGE_SELF, &before);
    f();
    getrusage(RUSAGE_SELF, &after);
    return (after.ru_maxrss - before.ru_maxrss) * 1024;
  };
  const auto repeat = [](const std::string& part, size_t bytes) {
    std::string out;
    while (out.size() < bytes) out += part;
    return out;
  };
  // Empty nodes, strings, functions, scopes, tensors, metadata; one node of packed integers and of empty
  // attributes.
  const auto field = [](int number, const std::string& payload) {
    std::string out(1, static_cast<char>(number << 3 | 2));
    for (size_t v = payload.size();; v >>= 7) {
      out += static_cast<char>(v < 128 ? v : (v & 127) | 128);
      if (v < 128) return out + payload;
    }
  };
  const size_t bytes = 8 << 20;
  const std::vector<std::string> hostile = {
      field(5, repeat(std::string("\x12\0", 2), bytes)),
      field(5, repeat(std::string("\x12\x02\x08\x01", 4), bytes)),
      field(5, field(2, field(2, field(7, field(1, std::string(bytes, '\1')))))),
      field(5, field(2, repeat(std::string("\x12\0", 2), bytes))),
      field(5, repeat(std::string("\x3A\0", 2), bytes)),
      repeat(std::string("\x12\0", 2), bytes),
      repeat(std::string("\x1A\0", 2), bytes),
      repeat(std::string("\x22\0", 2), bytes),
      repeat(std::string("\x2A\0", 2), bytes),
      repeat(std::string("\x3A\0", 2), bytes),
      repeat(std::string("\x42\0", 2), bytes),
      repeat(std::string("\x0A\x7F", 2) + std::string(127, 'x'), bytes),
  };
  for (size_t i = 0; i < hostile.size(); ++i) {
    const std::string p = stored(file_of_graph(hostile[i]));
    const int64_t taken = grown([&] {
      try {
        load(p);
        ADD_FAILURE() << "hostile file " << i << " was loaded";
      } catch (const Error& e) {
        EXPECT_TRUE(e.kind() == ErrorKind::Corrupt || e.kind() == ErrorKind::ResourceExhausted) << e.what();
      }
    });
#if !defined(__SANITIZE_ADDRESS__)
    EXPECT_LE(taken, static_cast<int64_t>(2 * bytes) + (int64_t{256} << 20)) << "hostile file " << i;
#else
    (void)taken;
#endif
  }
}

TEST_F(Serial, LongGraphsAreSavedAndLoaded) {
  ModelFile file;
  file.module = std::make_shared<Module>();
  auto builder = Builder::make(file.module, "main");
  Value v = builder->input("x", {DType::f32, {Dim::symbol("B"), 8}}).value();
  const OpDecl& neg = find_op("neg");
  const int count = 100'000;
  for (int i = 0; i < count; ++i) v = {builder->add_node(neg, {v}, {}, {"chain.cpp", i}, 0), 0};
  builder->output("y", builder->tensor(v));
  builder->finish();
  const auto start = std::chrono::steady_clock::now();
  save(path("a"), file);
  expect_same(file, load(path("a")));
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 20.0);
}

}  // namespace
