"""Attention alone beside PyTorch's fused kernel and its plain operations, alternated in one run; writes a section of the results.

usage: attention.py FOVEA_PROGRAM SECTION.md [--threads N] [--rounds N] [--steps N]
A shape is (batch, heads, length, head dim, causal). Times are the least of all rounds' calls, in ms; fp32. The second table holds
variants of one shape: what they cost against the plain kernel, and what PyTorch takes for the same.
"""
import os
import time

import torch
from torch.nn import functional as F

import common

SHAPES = [(1, 8, 1024, 64, 0), (1, 8, 1024, 64, 1), (1, 1, 4096, 64, 1), (8, 6, 256, 64, 1), (32, 4, 32, 64, 0), (64, 3, 50, 64, 0),
          (16, 4, 128, 64, 0), (1, 12, 2048, 128, 1)]
VARIANT_SHAPE = (8, 8, 256, 64, 0)
VARIANTS = ["plain", "softcap", "alibi", "bias", "dropout"]
NOTE = """Milliseconds of a call, forward and forward with gradients; the ratio is the better of PyTorch's two ways over ours (higher is
better).

"""
VARIANT_NOTE = """\n### Variants of batch 8, heads 8, length 256, head dim 64

The cost is our time over that of our plain kernel. PyTorch's plain operations where its fused kernel has no such score.

"""


def scores(variant, q, k, leaf, low, causal):
    s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if variant == "softcap":
        s = 30 * torch.tanh(s / 30)
    if variant in ("alibi", "bias"):
        s = s + leaf
    return s.masked_fill(~low, float("-inf")) if causal else s


def ways(variant, shape):
    """PyTorch's ways to compute it, by name; each gives what one call computes, and the seed of its gradient."""
    b, h, l, d, causal = shape
    q, k, v = (torch.randn(b, h, l, d, requires_grad=True) for _ in range(3))
    low, leaf, drop = torch.ones(l, l, dtype=torch.bool).tril(), None, 0.1 if variant == "dropout" else 0.0
    if variant == "bias":
        leaf = torch.randn(1, h, l, l, requires_grad=True)
    if variant == "alibi":
        leaf = torch.randn(1, h, 1, 1) * (torch.arange(l)[None, :] - torch.arange(l)[:, None])

    def plain():
        p = scores(variant, q, k, leaf, low, causal).softmax(-1)
        return (F.dropout(p, drop) if drop else p) @ v

    both = {"plain": plain}
    if variant != "softcap":
        both["fused"] = lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=leaf, is_causal=bool(causal), dropout_p=drop)
    inputs = [q, k, v] + ([leaf] if variant == "bias" else [])
    return both, inputs, torch.randn(b, h, l, d)


def best_ms(f, calls):
    for _ in range(2):
        f()
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return min(times) * 1e3


def peer(variant, shape, calls):
    both, inputs, seed = ways(variant, shape)

    def forward(f):
        with torch.no_grad():
            f()

    def gradients(f):
        for x in inputs:
            x.grad = None
        f().backward(seed)

    return {name: (best_ms(lambda: forward(f), calls), best_ms(lambda: gradients(f), calls)) for name, f in both.items()}


def ours(program, variant, shape, args):
    text = f"{variant}=" + ",".join(map(str, shape))
    row = common.run([program, "bench", "attention", "--json", "--shape", text, "--steps", str(args.steps), "--threads", str(args.threads)])[0]
    return row["fwd_ms"], row["fwd_bwd_ms"]


def compare(program, variant, shape, args):
    least = lambda a, b: tuple(map(min, a, b))
    mine, theirs = (float("inf"),) * 2, {}
    for _ in range(args.rounds):
        mine = least(mine, ours(program, variant, shape, args))
        for name, times in peer(variant, shape, args.steps).items():
            theirs[name] = least(theirs.get(name, times), times)
    best = [min(t[i] for t in theirs.values()) for i in range(2)]
    return mine, best, [best[i] / mine[i] for i in range(2)]


def main():
    args = common.arguments(rounds=3, steps=7).parse_args()
    torch.set_num_threads(args.threads)
    program, rows, ratios = os.path.abspath(args.program), [], []
    row = lambda name, mine, best, ratio: [name, *(x for i in range(2) for x in (f"{mine[i]:.2f}", f"{best[i]:.2f}", f"{ratio[i]:.2f}"))]
    head = ["ours forward", "PyTorch", "ratio", "ours both", "PyTorch", "ratio"]
    for shape in SHAPES:
        mine, best, ratio = compare(program, "plain", shape, args)
        ratios.append(ratio)
        rows.append(row(", ".join(map(str, shape)), mine, best, ratio))
        print(rows[-1], flush=True)
    means = [common.geometric_mean(r[i] for r in ratios) for i in range(2)]
    variants, plain = [], None
    for variant in VARIANTS:
        mine, best, ratio = compare(program, variant, VARIANT_SHAPE, args)
        plain = plain or mine
        variants.append(row(variant, mine, best, ratio) + [f"{mine[0] / plain[0]:.2f}, {mine[1] / plain[1]:.2f}"])
        print(variants[-1], flush=True)
    summary = f"Geometric mean: forward {means[0]:.2f}, with gradients {means[1]:.2f} times as fast; the least {min(map(min, ratios)):.2f}.\n"
    with open(args.section, "w") as out:
        out.write(common.title("Attention beside PyTorch") + common.made_by(args.threads, f"PyTorch {torch.__version__}") + NOTE +
                  common.table(["batch, heads, length, head dim, causal"] + head, rows) + "\n" + summary + VARIANT_NOTE +
                  common.table(["variant"] + head + ["cost"], variants))
    print(summary)


main()
