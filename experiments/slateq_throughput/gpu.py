"""SlateQ's gradient step on a GPU, from batch 1,024 to 65,536: how long it takes, and what bounds it.

    uv run python -m experiments.slateq_throughput.gpu
    uv run python -m experiments.slateq_throughput.gpu --device cpu --threads 8

Each line takes gradient steps on transitions of random slates that lie on the device, without Ray, optimiser and target
network included, by the wall clock. The limits are the time of the floating-point operations of the matrix products, at
the rate that this device reaches on a large float32 product, and the time of the bytes that must be moved, at the rate
of a large copy: the minibatch once, every hidden layer's rows written and read, parameters and optimiser once.
`kernels` and `busy` are of PyTorch's profiler: kernels a step, and the share of the step's time in which the GPU ran
one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import ray
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from experiments.slateq_throughput.compiled import learner_and_columns
from experiments.slateq_throughput.run import PAPER, operations_per_row
from experiments.slateq_throughput.trainings import add
from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.config.compose import compose
from recsys_cli.config.schema import TrainConfig

NETWORKS: dict[str, tuple[str, ...]] = {"default": (), "paper's": PAPER}
CANDIDATES = (10, 100)
BATCHES = (1024, 4096, 16384, 65536)
STEPS = {"eager": (), "compiled": ("framework=torch_compile",)}
MINIBATCHES = 4


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ms` is of a gradient step; `arithmetic` and `memory` are the limits' shares of it; `to_device_ms` is the time that
    one minibatch's columns take there as the learner sends them, `pinned_ms` from pinned memory, the copy into that
    included. What a CPU has not is empty.
    """

    device: str
    network: str
    candidates: int
    batch: int
    steps: str
    ms: float
    rows_per_s: int
    arithmetic: float
    memory: float
    kernels: int | None
    busy: float | None
    to_device_ms: float | None
    pinned_ms: float | None
    first_s: float


@dataclass(frozen=True)
class Machine:
    """A device and its measured limits, in operations and bytes a second."""

    name: str
    device: torch.device
    product_rate: float
    tf32_rate: float
    copy_rate: float


def wait(device: torch.device) -> None:
    """Let a GPU finish."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(call: Callable[[], object], device: torch.device, budget: float) -> float:
    """Return the least wall-clock seconds of a call out of five rounds that share the budget."""
    best = float("inf")
    for _ in range(5):
        wait(device)
        start, calls = time.perf_counter(), 0
        while not calls or time.perf_counter() - start < budget / 5:
            call()
            calls += 1
            if calls % 8 == 0:  # no long queue
                wait(device)
        wait(device)
        spent = time.perf_counter() - start
        best = min(best, spent / calls)
        if spent > budget:
            break
    return best


def limits(device: torch.device, threads: int) -> Machine:
    """Measure products of float32 matrices, with TF32 too where there is that, and a copy."""
    size, numbers = (8192, 2**28) if device.type == "cuda" else (2048, 2**25)
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    rates = []
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        a @ b
        rates.append(2 * size**3 / seconds(lambda: a @ b, device, 0.5))
    torch.set_float32_matmul_precision("highest")
    source = torch.randn(numbers, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / seconds(lambda: target.copy_(source), device, 0.5)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {threads} thread{'s' * (threads > 1)}"
    return Machine(name, device, rates[0], rates[1], copied)


def bytes_per_step(run: TrainConfig, learner: QLearner, columns: dict[str, torch.Tensor]) -> float:
    """Return the bytes that a step must move, hidden layers included: no kernel keeps them through a product."""
    env, net, size = run.env, run.algo.network, run.algo.batch_size
    minibatch = sum(column.nbytes for column in columns.values()) / len(columns["reward"]) * size
    documents = min(env.num_candidates, len(env.spec.documents)) if env.spec.documents.one_hot else env.num_candidates
    target_rows = size if net.kind == "two_tower" else size * (documents + 1)
    # The target: written and read. Online: the same, read again by the backward pass, and so its gradient.
    hidden = 4 * sum(net.hidden) * (2 * target_rows + 5 * size)
    # Adam reads weight, gradient and two moments and writes three of them; the target is read with the weight, written.
    return minibatch + hidden + 4 * (7 + 3) * sum(parameter.numel() for parameter in learner.trained)


def profiled(call: Callable[[], object], steps: int, ms: float) -> tuple[int, float]:
    """Return kernels a step, and the share of a step of `ms` in which the GPU ran one."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        call()
        torch.cuda.synchronize()
    events = [
        event
        for event in profiled.events()
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    spent = sum(event.time_range.elapsed_us() for event in events) / steps / 1e3
    longest: dict[str, float] = {}
    for event in events:
        longest[event.name] = longest.get(event.name, 0.0) + event.time_range.elapsed_us() / steps
    for name, us in sorted(longest.items(), key=lambda item: -item[1])[:4]:
        print(f"    {us:8.1f} us  {name[:100]}")
    return round(len(events) / steps), round(min(spent / ms, 1.0), 3)


def measure(machine: Machine, network: str, candidates: int, batch: int, steps: str, budget: float) -> Row:
    """Measure one setting for about `budget` seconds after the first update."""
    gpu = machine.device.type == "cuda"
    words = (*NETWORKS[network], f"env.num_candidates={candidates}", f"algo.batch_size={batch}", *STEPS[steps])
    words = (*words, f"resources.gpus_per_learner={int(gpu)}")
    run = compose("train", list(words))
    learner, columns = learner_and_columns(words, MINIBATCHES)
    there = {DEFAULT_MODULE_ID: {name: column.to(machine.device) for name, column in columns.items()}}

    def update() -> None:
        learner._update(there)

    start = time.perf_counter()
    update()
    wait(machine.device)
    first = time.perf_counter() - start
    step = seconds(update, machine.device, budget) / MINIBATCHES
    kernels, busy = profiled(update, MINIBATCHES, step * 1e3) if gpu else (None, None)
    sent = [transfer(learner, columns, pinned) * 1e3 / MINIBATCHES if gpu else None for pinned in (False, True)]
    return Row(
        machine.name,
        network,
        candidates,
        batch,
        steps,
        ms=round(step * 1e3, 3),
        rows_per_s=round(batch / step),
        arithmetic=round(operations_per_row(run) * batch / machine.product_rate / step, 4),
        memory=round(bytes_per_step(run, learner, columns) / machine.copy_rate / step, 4),
        kernels=kernels,
        busy=busy,
        to_device_ms=sent[0] and round(sent[0], 3),
        pinned_ms=sent[1] and round(sent[1], 3),
        first_s=round(first, 1),
    )


def transfer(learner: QLearner, columns: dict[str, torch.Tensor], pinned: bool) -> float:
    """Return the seconds that an update's columns take to the learner's device."""
    batch = SampleBatch({name: column.numpy() for name, column in columns.items()})
    whole = MultiAgentBatch({DEFAULT_MODULE_ID: batch}, len(columns["reward"]))
    learner._convert_batch_type(whole, pin_memory=pinned)
    return seconds(lambda: learner._convert_batch_type(whole, pin_memory=pinned), learner.device, 0.1)


def measured(machine: Machine, args: argparse.Namespace) -> None:
    """Measure every setting that is asked for, print it and write it."""
    for network, candidates, steps, batch in product(NETWORKS, CANDIDATES, args.steps, args.batches):
        if args.only in f"{network}, C={candidates}, {steps}, batch {batch},":
            row = measure(machine, network, candidates, batch, steps, args.seconds)
            print("| " + " | ".join(str(value) for value in asdict(row).values()) + " |", flush=True)
            if args.csv:
                add(row, args.csv)
            torch.compiler.reset()


def main() -> None:
    """Measure every setting, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--seconds", type=float, default=1.0, help="wall-clock seconds a line")
    parser.add_argument("--only", default="", help="measure the settings whose name holds this")
    parser.add_argument("--csv", type=Path, help="file that the lines are added to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    machine = limits(torch.device(args.device), args.threads)
    print(
        f"{machine.name}, PyTorch {torch.__version__}: product {machine.product_rate / 1e12:.2f} TFLOP/s (TF32 "
        f"{machine.tf32_rate / 1e12:.2f}), copy {machine.copy_rate / 1e9:.0f} GB/s read and written"
    )
    print("| " + " | ".join(field.name for field in fields(Row)) + " |")
    print("|---" * len(fields(Row)) + "|")
    measured(machine, args)
    ray.shutdown()


if __name__ == "__main__":
    main()
