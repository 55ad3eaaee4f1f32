// The fovea program as its users run it.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/temporary_folder.h"

namespace fovea {

/// What a run of a program gave.
struct RunResult {
  int status = -1;  ///< exit code, or 128 + signal
  std::string out, err;
};

inline std::string contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Runs `command` (quoted as for a shell); its streams are read from files in `folder`.
inline RunResult run_command(const std::string& command, const TemporaryFolder& folder) {
  const std::string out = folder / "stdout", err = folder / "stderr";
  const int status = std::system((command + " </dev/null >'" + out + "' 2>'" + err + "'").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), contents_of(out),
          contents_of(err)};
}

}  // namespace fovea
