"""Each installed header compiles alone; including everything costs little."""
import concurrent.futures
import os
import resource
import shutil
import subprocess
import sys

from repo import BUILD, ROOT, SKIPPED, installed_headers, report

UMBRELLA = "frontends/cpp/fovea.h"
LIMIT = 1.0  # seconds of processor time for the umbrella header

compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
if not compiler:
    print("skipped: no C++ compiler")
    sys.exit(SKIPPED)


def compile_alone(path):
    command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", ROOT,
               "-I", BUILD / "generated/include", "-x", "c++", "-"]
    done = subprocess.run(command, input=f'#include "{path}"\n', capture_output=True, text=True)
    if done.returncode:
        return f"{path} does not compile alone:\n{done.stderr[:2000]}"
    if path.name == "plugin.h":  # the plug-in boundary is plain C
        command = [compiler, "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", ROOT, "-x", "c", "-"]
        done = subprocess.run(command, input=f'#include "{path}"\n', capture_output=True, text=True)
        if done.returncode:
            return f"{path} does not compile as C:\n{done.stderr[:2000]}"
    return None


headers = installed_headers()
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    problems = [problem for problem in pool.map(compile_alone, headers) if problem]


def processor_seconds(path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    compile_alone(path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


for path in headers:
    if str(path) == UMBRELLA:
        seconds = min(processor_seconds(path) for _ in range(3))
        print(f"{UMBRELLA}: {seconds:.2f} s")
        if seconds > LIMIT:
            problems.append(f"{UMBRELLA} takes {seconds:.2f} s to compile; the limit is {LIMIT} s")
report(problems, len(headers))
