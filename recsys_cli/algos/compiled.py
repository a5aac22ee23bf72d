"""A gradient step compiled into one graph by `torch.compile` (`framework=torch_compile`), and recorded on a GPU."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

Step = Callable[[dict[str, Tensor]], Any]


class CompiledStep:
    """Calls a method of a minibatch, compiled once for each number of rows.

    The method may call `torch.autograd.grad`: loss and gradient become one graph, without autograd's own bookkeeping.
    Apart from tensor values, nothing that it reads (settings, parameters, modules) may change after the first call:
    PyTorch's guards against that would take a quarter of a small step's time, and are left out.
    """

    def __init__(self, method: Step, backend: str = "inductor") -> None:
        """Take the bound method, and the compiler's back end; nothing is compiled before the first call."""
        assert isinstance(method, MethodType)
        self.method, self.backend = method, backend
        self.by_rows: dict[int, Step] = {}

    def __call__(self, minibatch: dict[str, Tensor]) -> Any:
        """Return what the method returns."""
        rows = len(next(iter(minibatch.values())))
        if rows in self.by_rows:
            return self.by_rows[rows](minibatch)
        self.by_rows[rows] = self._compile()
        import torch._dynamo.config  # not before: it and what it imports take seconds

        with torch._dynamo.config.patch(trace_autograd_ops=True):
            return self.by_rows[rows](minibatch)

    def _compile(self) -> Step:
        import torch._inductor.config

        # What is compiled is found again by its code object. Without checks another learner's step would be taken for
        # this one, so each gets a code object of its own.
        plain = inspect.unwrap(self.method.__func__)  # in a learner process Ray has wrapped every method
        assert isinstance(plain, FunctionType)
        own = FunctionType(
            plain.__code__.replace(), plain.__globals__, plain.__name__, plain.__defaults__, plain.__closure__
        )
        # A run has the CPUs that it reserved: no pool of compiling processes, each of which would load PyTorch again.
        torch._inductor.config.compile_threads = 1
        step: Step = torch.compile(
            MethodType(own, self.method.__self__),
            fullgraph=True,
            dynamic=False,
            backend=self.backend,
            options={"guard_filter_fn": torch.compiler.skip_all_guards_unsafe},
        )
        return step


class RecordedStep:
    """Calls a compiled step on a GPU, its kernels recorded once for each number of rows (a CUDA graph).

    Launching some dozens of kernels one by one takes the CPU longer than they run; a recording is one launch.
    """

    def __init__(self, step: Step) -> None:
        """Take the step, which must not make the CPU wait for the GPU; nothing is recorded before the first call."""
        self.step = step
        self.by_rows: dict[int, tuple[list[Tensor], torch.cuda.CUDAGraph, Any]] = {}

    def __call__(self, minibatch: dict[str, Tensor]) -> Any:
        """Return what the step returns; the next call of as many rows overwrites it."""
        columns = list(minibatch.values())
        rows = len(columns[0])
        if rows not in self.by_rows:
            self.by_rows[rows] = self._record(minibatch)
        own, graph, results = self.by_rows[rows]
        torch._foreach_copy_(own, columns)
        graph.replay()
        return results

    def _record(self, minibatch: dict[str, Tensor]) -> tuple[list[Tensor], torch.cuda.CUDAGraph, Any]:
        own = {name: column.clone() for name, column in minibatch.items()}
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what is set up at the first call is no part of the recording
            for _ in range(2):
                self.step(own)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self.step(own)
        return list(own.values()), graph, results
