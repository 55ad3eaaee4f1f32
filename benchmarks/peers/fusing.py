"""Fused beside unfused: the same program with and without the passes that fuse, alternated; writes a section of the results.

usage: fusing.py FOVEA_PROGRAM SECTION.md [--threads N] [--rounds N] [--steps N] [--only TEXT]
Cases: training steps, attention alone (forward, and with gradients), and the saved graphs of inference.py where they have been exported.
"""
import os
import statistics

import common

FUSING = ["linear_cross_entropy", "additive_scores", "attention", "residual_norm", "bias_gradients", "regions"]
WORKLOADS = ["translator", "gpt-char", "bert-mini", "vit", "resnet20", "gru-attention"]
SHAPES = ["1,8,1024,64,0", "1,8,1024,64,1", "1,1,4096,64,1", "8,6,256,64,1", "32,4,32,64,0", "64,3,50,64,0", "16,4,128,64,0", "8,8,256,64,0",
          "1,8,1,64,0", "4,8,16,32,1", "2,4,77,40,0"]
VARIANTS = ["softcap", "alibi", "bias", "padding", "dropout"]
GRAPHS = {"minilm-1x32": ["input_ids=1,32", "attention_mask=1,32"], "minilm-8x128": ["input_ids=8,128", "attention_mask=8,128"],
          "vit-b16": ["pixel_values=1,3,224,224"]}
NOTE = """Medians of the rounds, in ms. The cost is fused over unfused (lower is better): over 1.05 the compiler ought to have left the
operations apart.

"""


def cases(models):
    """Arguments of `fovea bench` by name, and the times of one result by name."""
    median = lambda result: {"": result["step_ms"]["median"]}
    for name in WORKLOADS:
        yield name, [name], median
    both = lambda result: {", forward": result[0]["fwd_ms"], ", with gradients": result[0]["fwd_bwd_ms"]}
    for shape in [f"plain={s}" for s in SHAPES] + [f"{v}=8,8,256,64,0" for v in VARIANTS]:
        yield f"attention {shape}", ["attention", "--shape", shape], both
    for name, shapes in GRAPHS.items():
        path = os.path.abspath(os.path.join(models, name + ".onnx"))
        if os.path.exists(path):
            yield name, [path], lambda result: {"": result["ms"]["median"]}


def main():
    parser = common.arguments(rounds=3, steps=5)
    common.add_models(parser)
    parser.add_argument("--only", default="", help="cases that hold this text")
    args = parser.parse_args()
    without = dict(os.environ, FOVEA_PASSES=",".join("-" + name for name in FUSING))
    options = ["--json", "--steps", str(args.steps), "--threads", str(args.threads)]
    rows, worst = [], 0.0
    for name, arguments, times_of in cases(args.models):
        if args.only not in name:
            continue
        rounds = {"fused": [], "unfused": []}
        for k in range(args.rounds):
            sides = [("fused", None), ("unfused", without)]
            for side, environment in sides if k % 2 == 0 else sides[::-1]:
                result = common.run([os.path.abspath(args.program), "bench", *arguments, *options], environment)
                rounds[side].append(times_of(result))
        for part in rounds["fused"][0]:
            fused, unfused = (statistics.median(r[part] for r in rounds[side]) for side in ("fused", "unfused"))
            worst = max(worst, fused / unfused)
            rows.append([name + part, f"{fused:.3f}", f"{unfused:.3f}", f"{fused / unfused:.2f}"])
            print(rows[-1], flush=True)
    with open(args.section, "w") as out:
        out.write(common.title("Fused beside unfused") + common.made_by(args.threads, "passes left out: " + ", ".join(FUSING)) + NOTE +
                  common.table(["case", "fused ms", "unfused ms", "cost"], rows) + f"\nThe highest cost: {worst:.2f}.\n")
    print(f"highest cost {worst:.2f}")


main()
