"""Times one training step of a workload in PyTorch; prints one JSON line.

usage: train.py WORKLOAD {eager|compile} [--steps N] [--threads N]
"""
import argparse
import json
import resource
import statistics
import time


def rss_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("mode", choices=("eager", "compile"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch
    from models import WORKLOADS
    base = rss_mib()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    make, batch, loss_fn, optimiser, items = WORKLOADS[args.workload]
    model = make().train()
    opt = optimiser(model.parameters())
    inputs, labels = batch()
    compute = lambda *xs: loss_fn(model(*xs), labels)
    if args.mode == "compile":
        compute = torch.compile(compute)

    def step():
        begin = time.perf_counter()
        opt.zero_grad(set_to_none=True)
        loss = compute(*inputs)
        loss.backward()
        opt.step()
        value = loss.item()
        return time.perf_counter() - begin, value

    first_s, first = step()
    for _ in range(2):
        step()
    times, losses = zip(*(step() for _ in range(args.steps)))
    median = statistics.median(times)
    print(json.dumps({
        "peer": f"pytorch-{torch.__version__}-{args.mode}", "workload": args.workload, "threads": args.threads,
        "step_ms": {"min": round(min(times) * 1e3, 2), "median": round(median * 1e3, 2)}, "first_step_s": round(first_s, 2),
        "items_per_s": round(items / median, 1), "base_rss_mib": base, "peak_rss_mib": rss_mib(),
        "params": sum(p.numel() for p in model.parameters()), "loss": [round(first, 4), round(losses[-1], 4)]}))


main()
