// A program outside the repository: it sees the installed headers and the library, nothing else.
#include <fovea/fovea.h>

#include <cstdio>
#include <cstring>

int main() {
  try {
    fovea::invalid("an error crosses the library's boundary");
  } catch (const fovea::Error& error) {
    if (error.kind() != fovea::ErrorKind::InvalidArgument) return 1;
  }
  std::printf("fovea %s\n", fovea::kVersion);
  return std::strlen(fovea::kVersion) > 0 ? 0 : 1;
}
