"""What the comparison scripts share: the machine, the commit, running one side, writing a section of the results."""
import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments(rounds, steps=None):
    """A parser with what the scripts that write a section take."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("section")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=rounds)
    if steps is not None:
        parser.add_argument("--steps", type=int, default=steps)
    return parser


def add_models(parser):
    parser.add_argument("--models", default=os.path.join(HERE, "../../build/models"), help="where the exported graphs lie")


def run(command, environment=None):
    """The JSON object on the last line that the command prints."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def processor():
    with open("/proc/cpuinfo") as info:
        lines = info.read().splitlines()
    name = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), platform.machine())
    flags = next((l for l in lines if l.startswith("flags")), "")
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{name}, {widest}" + (", both sides kept to AVX2" if avx2_alone() else "")


def avx2_alone():
    """Whether `run` keeps both sides to AVX2."""
    return os.environ.get("FOVEA_MAX_ISA") == "avx2"


def title(text):
    return f"## {text}{', AVX2 alone' if avx2_alone() else ''}\n\n"


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=HERE)
    return done.stdout.strip() or "unknown"


def made_by(threads, peer):
    """The line under every table's title."""
    return (f"Made by `./run bench` on {datetime.date.today()}, commit {commit()}, {processor()}, {threads} threads, fp32; "
            f"{peer}. Both sides alternated in one run.\n")


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"
