"""Includes point to the same or an earlier layer: framework, graph, ops, optim, frontends, and the tools last."""
from repo import LAYERS, ROOT, files, includes, report

OUTSIDE = ["tests", "benchmarks", "docs"]  # may include every layer


def layer(path):
    parts = str(path).split("/")
    if parts[:2] == ["frontends", "tools"]:
        return len(LAYERS)
    return LAYERS.index(parts[0]) if parts[0] in LAYERS else None


problems, checked = [], 0
for path in files(".h", ".cpp", ".c", ".cu"):
    own = layer(path)
    for number, opening, name in includes(path):
        if opening == "<" and not name.startswith("fovea/"):
            if own is not None and name.startswith(("cuda", "cublas", "cudnn", "nccl", "nvrtc")):
                if "cuda" not in path.parts and path.suffix != ".cu":
                    problems.append(f"{path}:{number}: a header of CUDA outside the cuda folders: <{name}>")
            continue
        checked += 1
        if name.startswith("fovea/"):
            if own is not None:
                problems.append(f"{path}:{number}: the layers include by path, not <{name}>")
            continue
        target = LAYERS.index("ops") if name == "generated/ops.h" else layer(name)
        if target is None:
            if own is not None and name.split("/")[0] in OUTSIDE:
                problems.append(f"{path}:{number}: {path.parts[0]} includes {name}")
        elif own is not None and target > own:
            problems.append(f"{path}:{number}: {path.parts[0]} includes the later layer of {name}")
        if target is not None and not name.startswith("generated/") and not name.endswith(".pb.h") \
                and not (ROOT / name).exists():
            problems.append(f"{path}:{number}: there is no {name}")
report(problems, checked)
