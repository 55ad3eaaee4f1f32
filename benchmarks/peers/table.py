"""Training steps beside PyTorch's, alternated in one run on one machine; writes a Markdown table.

usage: table.py FOVEA_PROGRAM RESULTS.md [--python PYTHON_WITH_TORCH] [--steps N] [--threads N] [--rounds N] [WORKLOAD ...]
Each round runs ours, PyTorch eager and PyTorch compiled one after the other; the best median of the rounds counts.
"""
import argparse
import datetime
import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["translator", "gpt-char", "bert-mini", "vit", "resnet20", "gru-attention"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def processor():
    with open("/proc/cpuinfo") as info:
        lines = info.read().splitlines()
    name = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), platform.machine())
    flags = next((l for l in lines if l.startswith("flags")), "")
    return f"{name}, {'AVX-512' if 'avx512f' in flags else 'AVX2' if 'avx2' in flags else 'no AVX2'}"


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return done.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("results")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("workloads", nargs="*", default=NAMES)
    args = parser.parse_args()
    common = ["--steps", str(args.steps), "--threads", str(args.threads)]
    program = os.path.abspath(args.program)
    sides = {"ours": [program, "bench", None, "--json"]}
    for mode in ("eager", "compile"):
        sides[mode] = [args.python, "train.py", None, mode]
    memory = lambda r: r["peak_rss_mib"] - r["base_rss_mib"]
    rows, product, bad = [], 1.0, 0
    for name in args.workloads or NAMES:
        best = {}
        for _ in range(args.rounds):
            for side, command in sides.items():
                result = run([name if c is None else c for c in command] + common)
                if side not in best or result["step_ms"]["median"] < best[side]["step_ms"]["median"]:
                    best[side] = result
        ours, peers = best["ours"], [best["eager"], best["compile"]]
        time_ratio = min(p["step_ms"]["median"] for p in peers) / ours["step_ms"]["median"]
        memory_ratio = memory(ours) / min(memory(p) for p in peers)
        product *= time_ratio
        bad += time_ratio < 1 or memory_ratio > 1
        rows.append(f"| {name} | {ours['step_ms']['median']} | " + " | ".join(f"{p['step_ms']['median']}" for p in peers) +
                    f" | {time_ratio:.2f} | {ours['first_step_s'] - ours['step_ms']['median'] / 1e3:.2f} | {memory(ours)} | " +
                    " | ".join(f"{memory(p)}" for p in peers) + f" | {memory_ratio:.2f} |")
        print(rows[-1], flush=True)
    text = f"""# Training steps on the CPU, beside PyTorch

Made by `./run bench` on {datetime.date.today()}, commit {commit()}, {processor()}, {args.threads} threads, fp32; {best['eager']['peer'].removesuffix('-eager')}.
Median milliseconds of a step (forward, backward, update); memory is the peak above the loaded libraries, in MiB. Ratios: the
better PyTorch mode over ours for time (higher is better), ours over the better PyTorch mode for memory (lower is better).
"first" is how much longer the first step took than a steady one, in seconds, planning included.

| workload | ours ms | eager ms | compiled ms | times as fast | first s | ours MiB | eager MiB | compiled MiB | memory ratio |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
""" + "\n".join(rows) + f"\n\nGeometric mean: {product ** (1 / len(rows)):.2f} times as fast.\n"
    with open(args.results, "w") as out:
        out.write(text)
    print(f"geometric mean {product ** (1 / len(rows)):.2f}; written to {args.results}")
    sys.exit(bad > 0)


main()
