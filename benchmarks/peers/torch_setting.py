"""The best setting of every PyTorch peer: layout, threads, no denormals, torch.compile.

Programs are `torch_channels_last`, `torch_nchw` and `torch_compile` (channels_last, compiled).
"""

import shutil
import statistics
import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.suite import SUITE, processors
from benchmarks.timing import Prepared, peak_memory

PROGRAMS = ("torch_channels_last", "torch_nchw", "torch_compile")
DEVICE = torch.device("cuda" if SUITE == "gpu" else "cpu")


def memory_format(program: str) -> torch.memory_format:
    """The layout that a program's name asks for."""
    return torch.contiguous_format if program == "torch_nchw" else torch.channels_last


def set_up() -> None:
    """Denormals are zero, as in XLA; all processors are used until `choose_threads`."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(processors())
    torch.backends.cudnn.benchmark = True


def maybe_compile(
    program: str, module: torch.nn.Module, *, freezing: bool = False
) -> torch.nn.Module:
    """The module compiled where the program's name asks for it; `freezing` folds its weights."""
    if program != "torch_compile":
        return module
    if SUITE == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise SystemExit("torch.compile needs a C++ compiler, none found")
    from torch._inductor import config  # seconds of importing that only this program needs

    config.freezing = freezing
    return torch.compile(module)


def image(array: np.ndarray, program: str) -> torch.Tensor:
    """An NHWC array as an NCHW tensor of the program's layout, on the device."""
    tensor = torch.from_numpy(array.copy()).to(DEVICE).movedim(-1, -3)
    return tensor.contiguous(memory_format=memory_format(program))


def choose_threads(program: str, work: Callable[[], Any], *, repeats: int = 3) -> float:
    """Sets the number of threads that does `work` fastest: small images gain nothing from two.

    Compiled code keeps the number it was compiled for. Returns the seconds this took.
    """
    if SUITE == "gpu" or program == "torch_compile":
        return 0.0
    began, seconds = time.perf_counter(), {}
    for threads in range(1, processors() + 1):
        torch.set_num_threads(threads)
        work()
        seconds[threads] = statistics.median(timeit.repeat(work, number=1, repeat=repeats))
    torch.set_num_threads(min(seconds, key=seconds.get))
    return time.perf_counter() - began


def prepared(
    run: Callable[[], Any],
    result: Callable[[Any], dict[str, torch.Tensor]],
    *,
    tuning_s: float = 0.0,
) -> Prepared:
    """`run` as a blocking program; `result` makes the shared arrays of what it first returned."""
    first: dict[str, np.ndarray] = {}

    def blocking():
        value = run()
        if SUITE == "gpu":
            torch.cuda.synchronize()
        if not first:
            first.update({n: x.detach().cpu().numpy() for n, x in result(value).items()})

    facts = {"version": f"torch {torch.__version__}", "threads": torch.get_num_threads()}
    return Prepared(blocking, lambda: first, facts, peak, tuning_s)


def peak() -> float:
    """The most memory so far, MiB: of this process, or of its GPU."""
    return torch.cuda.max_memory_allocated() / 2**20 if SUITE == "gpu" else peak_memory()
