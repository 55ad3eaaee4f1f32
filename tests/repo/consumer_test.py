"""A program outside builds against the installed library, by find_package and by pkg-config, and runs."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from repo import BUILD, ROOT, SKIPPED, report

if not (BUILD / "libfovea.a").exists() and not (BUILD / "libfovea.so").exists():
    print(f"skipped: no library in {BUILD}")
    sys.exit(SKIPPED)
if not (ROOT / "frontends/cpp/fovea.h").exists():
    print("skipped: no umbrella header")
    sys.exit(SKIPPED)

problems = []
folder = tempfile.TemporaryDirectory()
base = pathlib.Path(folder.name)
prefix = base / "prefix"
environment = dict(os.environ)


def step(what, *command):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{what} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        report([what], 1)
    return done.stdout


step("installing", "cmake", "--install", BUILD, "--prefix", prefix)
shutil.copytree(ROOT / "tests/repo/consumer", base / "consumer")
library = next(prefix.rglob("fovea.pc")).parent.parent
environment["LD_LIBRARY_PATH"] = str(library)

step("configuring", "cmake", "-S", base / "consumer", "-B", base / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
step("building", "cmake", "--build", base / "build")
said = step("running", base / "build/consumer")
if not said.startswith("fovea "):
    problems.append(f"the program built by CMake said: {said}")

if shutil.which("pkg-config"):
    environment["PKG_CONFIG_PATH"] = str(library / "pkgconfig")
    # The package is found where it was put: the prefix is that of the file, not of the build.
    flags = step("pkg-config", "pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs", "--static", "fovea")
    step("compiling", "c++", "-std=c++20", base / "consumer/main.cpp", "-o", base / "plain", *flags.split())
    said = step("running the pkg-config program", base / "plain")
    if not said.startswith("fovea "):
        problems.append(f"the program built with pkg-config said: {said}")
report(problems, 2)
