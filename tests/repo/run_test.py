"""./run explains itself, and names what is missing instead of installing it where it is told so."""
import os
import pathlib
import subprocess
import tempfile

from repo import ROOT, report

problems = []


def run(*arguments, **environment):
    return subprocess.run(["bash", ROOT / "run", *arguments], capture_output=True, text=True,
                          env={**os.environ, **environment}, stdin=subprocess.DEVNULL)


for arguments in ((), ("no-such-verb",), ("check", "no-such-part")):
    done = run(*arguments) if arguments[:1] != ("check",) else run(*arguments, FOVEA_NO_INSTALL="1")
    if arguments[:1] != ("check",) or "missing" not in done.stderr:  # a machine without clang-tidy stops earlier
        if done.returncode != 2 or "usage: ./run VERB" not in done.stderr:
            problems.append(f"./run {' '.join(arguments)}: exit {done.returncode}, expected 2 and the usage text")

with tempfile.TemporaryDirectory() as folder:  # a dpkg-query that knows no package
    fake = pathlib.Path(folder) / "dpkg-query"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    done = run("build", FOVEA_NO_INSTALL="1", PATH=f"{folder}:{os.environ['PATH']}")
    if done.returncode != 1 or "missing Debian packages: " not in done.stderr or "libdnnl-dev" not in done.stderr:
        problems.append(f"missing packages: exit {done.returncode}, said: {done.stderr}")
report(problems, 4)
