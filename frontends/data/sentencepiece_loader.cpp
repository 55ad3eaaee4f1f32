#include "frontends/data/sentencepiece_loader_internal.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "framework/base/error.h"

namespace fovea::data {
namespace {

constexpr const char* kModule = "libfovea_sentencepiece.so";

std::string folder_of_this_code() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&folder_of_this_code), &info) == 0 || info.dli_fname == nullptr)
    return "";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "" : file.substr(0, slash);
}

std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  const char* chosen = std::getenv("FOVEA_MODULE_PATH");
  for (const std::string& folder : {std::string(chosen == nullptr ? "" : chosen), folder_of_this_code(),
#ifdef FOVEA_MODULE_DIR
                                    std::string(FOVEA_MODULE_DIR)
#else
                                    std::string()
#endif
       })
    if (!folder.empty()) paths.push_back(folder + "/" + kModule);
  paths.push_back(kModule);
  return paths;
}

// With its own scope first (DEEPBIND), so that SentencePiece finds the Protobuf inside itself. Address
// sanitizer's own dlopen forbids that flag, because allocations could change sides; no allocation crosses
// this table, so its check is passed by.
void* open_module(const char* path) {
  using Open = void* (*)(const char*, int);
  void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  const auto plain_open = libc == nullptr ? nullptr : reinterpret_cast<Open>(dlsym(libc, "dlopen"));
  return (plain_open != nullptr ? plain_open : &dlopen)(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
}

const FoveaSentencepiece* find_table() {
  if (fovea_sentencepiece != nullptr) return fovea_sentencepiece();
  std::string tried;
  for (const std::string& path : candidates()) {
    if (void* module = open_module(path.c_str())) {
      using Get = const FoveaSentencepiece* (*)();
      const auto get = reinterpret_cast<Get>(dlsym(module, "fovea_sentencepiece"));
      const FoveaSentencepiece* table = get == nullptr ? nullptr : get();
      if (table != nullptr && table->struct_size == sizeof(FoveaSentencepiece)) return table;
      fail(ErrorKind::VersionMismatch, path + " belongs to another version of this library");
    }
    const char* said = dlerror();
    tried += std::string("\n  ") + (said == nullptr ? path.c_str() : said);
  }
  fail(ErrorKind::Unsupported, std::string("tokenizers need ") + kModule +
                                   ", which was not found; set FOVEA_MODULE_PATH to its folder." + tried);
}

}  // namespace

const FoveaSentencepiece& sentencepiece_table() {
  static const FoveaSentencepiece* table = find_table();
  return *table;
}

}  // namespace fovea::data
