"""Each installed header compiles alone; including everything costs little.

To compile 240 headers from nothing takes minutes, nearly all of it for what they include. Two things save that:

- Headers that others begin with are precompiled, and stand in front of those that begin by including them, in person
  or through another. What they declare is there anyway, so they cannot hide an include that is missing.
- Headers with the same list of includes are compiled together, first in one order and then in the other: one that
  leans on a neighbour comes before it once. Where that fails each is compiled by itself, to name the culprit.
"""
import collections
import concurrent.futures
import functools
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

from repo import BUILD, ROOT, SKIPPED, includes, installed_headers, report, text

UMBRELLA = "frontends/cpp/fovea.h"
LIMIT = 1.0  # seconds of processor time for the umbrella header
WORTH = 6  # groups that must gain from a precompiled header

compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
if not compiler:
    print("skipped: no C++ compiler")
    sys.exit(SKIPPED)
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
FLAGS = ["-std=c++20", *WARNINGS, "-I", ROOT, "-I", BUILD / "generated/include"]


def compiles(source, *arguments):
    """The compiler's complaint about `source`, "" for none."""
    done = subprocess.run([compiler, *arguments, "-"], input=source, capture_output=True, text=True)
    return done.stderr[:2000] or f"exit status {done.returncode}" if done.returncode else ""


@functools.cache
def begins_with(path):
    """All that a header includes before its first line of code, directly or not. Conditions count as code."""
    found = set()
    for line in re.sub(r"/\*.*?\*/", "", text(path), flags=re.S).splitlines():
        if match := re.match(r'#include "([^"]+)"', line):
            if (ROOT / match[1]).is_file():
                found |= {pathlib.Path(match[1])} | begins_with(pathlib.Path(match[1]))
        elif line.strip() and not line.startswith(("//", "#include <", "#pragma once")):
            break
    return found


def groups(headers):
    """Lists of headers that include the same."""
    alike = collections.defaultdict(list)
    for path in headers:
        alike[frozenset((opening, name) for _, opening, name in includes(path))].append(path)
    return list(alike.values())


def base_of(group, bases):
    """The base that saves a group the most: of those that it begins with, the one that includes the most."""
    common = set.intersection(bases, *map(begins_with, group))
    return max(common, key=lambda base: (len(begins_with(base)), base), default=None)


def choose_bases(all_groups):
    """Headers worth precompiling: each is the base of at least WORTH groups."""
    bases = {base for group in all_groups for path in group for base in begins_with(path)}
    while True:
        users = collections.Counter(base_of(group, bases) for group in all_groups)
        poor = [base for base in bases if users[base] < WORTH]
        if not poor:
            return bases
        bases.remove(min(poor, key=lambda base: (users[base], base)))


def precompile(base, folder):
    """Makes NAME.h.gch, which the compiler takes for NAME.h. Where that fails NAME.h itself serves, only slower."""
    stand_in = folder / (re.sub(r"\W", "_", str(base)) + ".h")
    stand_in.write_text(f'#include "{base}"\n')
    subprocess.run([compiler, *FLAGS, "-x", "c++-header", stand_in, "-o", f"{stand_in}.gch"], capture_output=True)
    return stand_in


def compile_together(paths, stand_in=None):
    lines = [f'#include "{path}"\n' for path in ([stand_in] if stand_in else []) + paths]
    return compiles("".join(lines), *FLAGS, "-fsyntax-only", "-x", "c++")


def problems_of(group, stand_in=None):
    """What is wrong with the headers of a group, each seen as if it were compiled alone."""
    if len(group) > 1:
        if not compile_together(group, stand_in) and not compile_together(group[::-1], stand_in):
            return []
        return [problem for path in group for problem in problems_of([path], stand_in)] or [
            f"compile alone, but not together: {' '.join(map(str, group))}"]
    complaint = compile_together(group, stand_in)
    return [f"{group[0]} does not compile alone:\n{complaint}"] if complaint else []


def problems_in_c(path):
    complaint = compiles(f'#include "{path}"\n', "-std=c11", *WARNINGS, "-fsyntax-only", "-I", ROOT, "-x", "c")
    return [f"{path} does not compile as C:\n{complaint}"] if complaint else []


def processor_seconds(path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    compile_together([path])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


headers = installed_headers()
all_groups = groups(headers)
bases = choose_bases(all_groups)
with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
    ready = dict(zip(bases, pool.map(lambda base: precompile(base, pathlib.Path(folder)), bases)))
    checks = pool.map(lambda group: problems_of(group, ready.get(base_of(group, bases))), all_groups)
    problems = [problem for found in checks for problem in found]
for path in headers:
    if path.name == "plugin.h":  # the plug-in boundary is plain C
        problems += problems_in_c(path)
print("precompiled:", *sorted(map(str, bases)))

if pathlib.Path(UMBRELLA) in headers:
    seconds = processor_seconds(UMBRELLA)
    for _ in range(5):  # again where other programs may have been in the way
        if seconds > LIMIT:
            seconds = min(seconds, processor_seconds(UMBRELLA))
    print(f"{UMBRELLA}: {seconds:.2f} s")
    if seconds > LIMIT:
        problems.append(f"{UMBRELLA} takes {seconds:.2f} s to compile; the limit is {LIMIT} s")
report(problems, len(headers))
