"""Training steps beside PyTorch's, alternated in one run on one machine; writes a section of the results.

usage: training.py FOVEA_PROGRAM SECTION.md [--python PYTHON_WITH_TORCH] [--steps N] [--threads N] [--rounds N] [WORKLOAD ...]
Each round runs ours, PyTorch eager and PyTorch compiled one after the other; the best median of the rounds counts.
"""
import os
import sys

import common

NAMES = ["translator", "gpt-char", "bert-mini", "vit", "resnet20", "gru-attention"]
NOTE = """Median milliseconds of a step (forward, backward, update); memory is the peak above the loaded libraries, in MiB. Ratios: the
better PyTorch mode over ours for time (higher is better), ours over the better PyTorch mode for memory (lower is better).
"first" is how much longer the first step took than a steady one, in seconds, planning included; most of it is the first touch
of memory, which costs a virtual machine 0.2 to 3 ms for a MiB. "of peak" is the model's
FLOPs over our time over the multiply-add peak measured in the same run.

"""
HEAD = ["workload", "ours ms", "eager ms", "compiled ms", "times as fast", "first s", "eager first s", "of peak", "ours MiB", "eager MiB", "compiled MiB",
        "memory ratio"]


def memory(result):
    return result["peak_rss_mib"] - result["base_rss_mib"]


def best_of(name, sides, options, rounds):
    best = {}
    for _ in range(rounds):
        for side, command in sides.items():
            result = common.run([name if c is None else c for c in command] + options)
            if side not in best or result["step_ms"]["median"] < best[side]["step_ms"]["median"]:
                best[side] = result
    return best


def main():
    parser = common.arguments(rounds=2, steps=10)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("workloads", nargs="*", default=NAMES)
    args = parser.parse_args()
    options = ["--steps", str(args.steps), "--threads", str(args.threads)]
    sides = {"ours": [os.path.abspath(args.program), "bench", None, "--json"]}
    for mode in ("eager", "compile"):
        sides[mode] = [args.python, "train.py", None, mode]
    rows, ratios = [], []
    for name in args.workloads or NAMES:
        best = best_of(name, sides, options, args.rounds)
        ours, peers = best["ours"], [best["eager"], best["compile"]]
        times = [r["step_ms"]["median"] for r in (ours, *peers)]
        ratios.append(min(times[1:]) / times[0])
        first = [f"{r['first_step_s'] - r['step_ms']['median'] / 1e3:.2f}" for r in (ours, best["eager"])]
        rows.append([name, *times, f"{ratios[-1]:.2f}", *first, ours.get("peak_fraction", ""), memory(ours),
                     *map(memory, peers), f"{memory(ours) / min(map(memory, peers)):.2f}"])
        print(rows[-1], flush=True)
    peer = best["eager"]["peer"].removesuffix("-eager")
    with open(args.section, "w") as out:
        out.write(common.title("Training steps beside PyTorch") + common.made_by(args.threads, peer) + NOTE + common.table(HEAD, rows) +
                  f"\nGeometric mean: {common.geometric_mean(ratios):.2f} times as fast.\n")
    print(f"geometric mean {common.geometric_mean(ratios):.2f}")


main()
