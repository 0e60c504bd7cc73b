"""The harness of all benchmarks: fair, interleaved timing and honest memory.

Two programs that compute the same thing are run in turn, A B A B …, in fresh processes that hold
one of them each, so that drift of the machine hits both and neither disturbs the other's memory.
A figure is the median over pairs of the ratio within a pair.

    python -m benchmarks.bench_supernet --rounds 20
"""

import contextlib
import dataclasses
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Worker:
    """A process that prepares a program, and runs it once whenever it is told to."""

    name: str
    process: subprocess.Popen
    ready: dict[str, Any]

    def ask(self, request: str) -> dict[str, Any]:
        """Wakes the process, sends one line, reads one JSON line back and stops the process."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        # Threads that spin while they wait for work would take a core from the next program.
        self.process.send_signal(signal.SIGSTOP)
        if not line:
            raise RuntimeError(f"{self.name} ended; its messages are above")
        return json.loads(line)


def limit_threads(threads: int) -> None:
    """Binds this process, and the workers it starts, to its first `threads` processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def start(name: str, module: str, *arguments: str) -> Worker:
    """Starts `python -m module arguments` and waits until it has prepared itself with `serve`."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} did not start; its messages are above")
    process.send_signal(signal.SIGSTOP)
    return Worker(name, process, json.loads(line))


def serve(prepare: Callable[[], tuple[Callable[[], Any], dict[str, Any]]]) -> None:
    """The worker's side: prepares (the cold time), then runs once per line of standard input.

    Args:
      prepare: returns a function that does one complete, blocking run, and facts to report.
    """
    began = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        run, facts = prepare()
        run()
    print(json.dumps({"cold_s": time.perf_counter() - began, **facts}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        print(json.dumps({"s": seconds, "peak_mib": peak_memory()}), flush=True)


def peak_memory() -> float:
    """The most memory this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(workers: list[Worker], *, rounds: int, warmup: int = 2) -> dict[str, Any]:
    """Runs the workers in turn and compares every one with the last, the reference.

    Returns:
      Per worker the median, least and greatest seconds, the peak memory in MiB, what it reported
      when it was ready, and `ratio`: the median, least and greatest of its time over the
      reference's time in the same round.
    """
    for _ in range(warmup):
        for worker in workers:
            worker.ask("run")
    answers = [{w.name: w.ask("run") for w in workers} for _ in range(rounds)]
    for worker in workers:
        worker.process.send_signal(signal.SIGCONT)
        worker.process.stdin.close()
        worker.process.wait()
    reference = workers[-1].name
    return {
        w.name: {
            "s": summary([a[w.name]["s"] for a in answers]),
            "ratio": summary([a[w.name]["s"] / a[reference]["s"] for a in answers]),
            "peak_mib": answers[-1][w.name]["peak_mib"],
            **w.ready,
        }
        for w in workers
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def report(name: str, setting: dict[str, Any], figures: dict[str, Any]) -> None:
    """Prints a table of the figures and writes all of them to `benchmarks/results/<name>.json`."""
    print(f"{'program':24s} {'median':>9s} {'min':>9s} {'ratio':>7s} {'cold':>8s} {'peak':>9s}")
    for program, row in figures.items():
        print(
            f"{program:24s} {row['s']['median'] * 1e3:6.1f} ms {row['s']['min'] * 1e3:6.1f} ms"
            f" {row['ratio']['median']:7.3f} {row['cold_s']:6.1f} s {row['peak_mib']:5.0f} MiB"
        )
    machine = {"processor": platform.processor() or platform.machine(), "python": sys.version}
    RESULTS.mkdir(exist_ok=True)
    record = {"setting": setting, "machine": machine, "figures": figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
