#pragma once

namespace fovea::tools {

/// Parses the command line and runs the subcommand; the exit code. Throws what the subcommand throws.
int run(int argc, char** argv);

}  // namespace fovea::tools
