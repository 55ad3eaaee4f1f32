// The fovea program. Results go to stdout, everything else to stderr. Exit codes: 0, 1 (failed), 2 (usage).
#include <cstdio>
#include <cstring>

#include "framework/base/error.h"
#include "framework/base/version.h"
#include "frontends/tools/run.h"

int main(int argc, char** argv) {
  if (argc == 2 && (std::strcmp(argv[1], "--version") == 0 || std::strcmp(argv[1], "-V") == 0)) {
    std::printf("fovea %s\n", fovea::kVersion);
    return 0;
  }
  try {
    return fovea::tools::run(argc, argv);
  } catch (const fovea::Error& e) {
    std::fprintf(stderr, "fovea: %s\n", e.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "fovea: ResourceExhausted: out of memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fovea: %s\n", e.what());
  }
  return 1;
}
