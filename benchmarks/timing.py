"""Fair, interleaved timing of programs that compute the same thing, and honest memory.

Every program lives in a fresh process of its own. Their first results are compared; then they run
in turn, A B A B …, so that drift of the machine hits all of them and none disturbs another's
memory. A ratio is taken within a round, and its median over the rounds is the figure.

A worker is `python -m MODULE PROGRAM PROBLEM RESULT`: it reads the problem (.npz), prepares
itself, runs once, writes its result (.npz), and then runs once per line of standard input.
"""

import contextlib
import json
import os
import resource
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import interpreter, missing
from benchmarks.suite import PLATFORM

ROUNDS, BUDGET_S, LEAST_ROUNDS = 15, 20.0, 3
ANSWERS_WITHIN_S = 420
HOPELESS = 2.0  # times the fastest peer

ENVIRONMENT = {
    "JAX_PLATFORMS": PLATFORM,
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # cold is cold
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


class Unavailable(Exception):
    """A program that cannot take part, with the reason in one line."""


@dataclass(frozen=True)
class Program:
    """`python -m module name …`; a peer's `package` decides which Python runs it.

    A `baseline` needs no package: it is what our own programs are to be compared with.
    """

    name: str
    module: str
    package: str | None = None
    baseline: bool = False

    @property
    def is_peer(self) -> bool:
        """True if it stands on the other side of a ratio."""
        return self.baseline or self.package is not None


@dataclass(frozen=True)
class Prepared:
    """The program that a worker has ready.

    `run` does one complete, blocking run; `result` gives the arrays after the first one, by names
    that all programs share; `peak` is the most memory in MiB so far; `tuning_s` went into finding
    the best settings.
    """

    run: Callable[[], Any]
    result: Callable[[], dict[str, np.ndarray]]
    facts: dict[str, Any]
    peak: Callable[[], float]
    tuning_s: float = 0.0


@dataclass
class Record:
    """The record of one program: `cold_s` from the start of its process to the end of its first run
    without the search for the best number of threads, `ready_mib` the peak memory before that run,
    `gap` its largest difference to the reference."""

    program: Program
    cold_s: float
    ready_mib: float
    facts: dict[str, Any]
    gap: float = 0.0
    peak_mib: float = 0.0
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The programs that were timed, and for the others why not."""

    records: dict[str, Record]
    excuses: dict[str, str]


def peak_memory() -> float:
    """The most memory this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(prepare: Callable[[str, dict[str, np.ndarray]], Prepared]) -> None:
    """The worker's side; `prepare` is given the program's name and the problem's arrays."""
    name, problem, result = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        prepared = prepare(name, dict(np.load(problem)))
        ready = prepared.peak()
        prepared.run()
        np.savez(result, **prepared.result())
    answer = {"ready_mib": ready, "tuning_s": prepared.tuning_s, "facts": prepared.facts}
    print(json.dumps(answer), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        prepared.run()
        seconds = time.perf_counter() - began
        print(json.dumps({"s": seconds, "peak_mib": prepared.peak()}), flush=True)


class Worker:
    """A program's process, stopped whenever it is not asked."""

    def __init__(self, program: Program, problem: Path, folder: Path) -> None:
        """Starts it and waits until it has run once; Unavailable if it does not get there."""
        python = interpreter(program.package)
        if python is None:
            raise Unavailable(missing(program.package))
        self.log, self.result = folder / f"{program.name}.log", folder / f"{program.name}.npz"
        command = [python, "-m", program.module, program.name, str(problem), str(self.result)]
        began = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env=os.environ | ENVIRONMENT,
            )
        ready = self._answer()
        cold_s = time.perf_counter() - began - ready["tuning_s"]
        self.record = Record(program, cold_s, ready["ready_mib"], ready["facts"])

    def run(self) -> float:
        """One run, in seconds; Unavailable if it ends instead."""
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        answer = self._answer()
        self.record.peak_mib = answer["peak_mib"]
        return answer["s"]

    def end(self) -> None:
        """Ends the process and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWERS_WITHIN_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.end()
            raise Unavailable(_last_line(self.log))
        # Threads that spin while they wait for work would take a core from the next program.
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)


def compare(
    programs: Iterable[Program],
    problem: Path,
    *,
    tolerance: float,
    rounds: int = ROUNDS,
    budget_s: float = BUDGET_S,
) -> Outcome:
    """Starts the programs, compares their results with those of the first, and times them in turn.

    A program that does not start, whose result is further than `tolerance` from the first's (see
    `largest_gap`), or a variant of a peer that is no match for its fastest one, takes no part and
    leaves an excuse. Timing ends after `rounds`, or with the budget in seconds
    but not before `LEAST_ROUNDS`.
    """
    field = _Field()
    try:
        field.start(programs, problem)
        field.part_with_strangers(tolerance)
        field.part_with_hopeless()
        began = time.monotonic()
        for turn in range(rounds):
            if turn >= LEAST_ROUNDS and time.monotonic() - began > budget_s:
                break
            for name, seconds in field.turn().items():
                field.workers[name].record.seconds.append(seconds)
    finally:
        for worker in field.workers.values():
            worker.end()
    return Outcome({name: w.record for name, w in field.workers.items()}, field.excuses)


class _Field:
    """The programs that take part, and the excuses of those that do not."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.excuses: dict[str, str] = {}

    def start(self, programs: Iterable[Program], problem: Path) -> None:
        """Starts one after the other."""
        for program in programs:
            try:
                self.workers[program.name] = Worker(program, problem, problem.parent)
            except Unavailable as reason:
                self.excuses[program.name] = str(reason)

    def turn(self) -> dict[str, float]:
        """One run of each, in seconds."""
        seconds = {}
        for name, worker in list(self.workers.items()):
            try:
                seconds[name] = worker.run()
            except Unavailable as reason:
                self.part(name, str(reason))
        return seconds

    def part_with_strangers(self, tolerance: float) -> None:
        """Notes how far every result is from the first, and parts with those too far away."""
        if not self.workers:
            return
        expected = dict(np.load(next(iter(self.workers.values())).result))
        for name, worker in list(self.workers.items()):
            gap = worker.record.gap = largest_gap(dict(np.load(worker.result)), expected)
            if not gap <= tolerance:
                self.part(name, f"its result is {gap:.1e} away, {tolerance:.0e} allowed")

    def part_with_hopeless(self) -> None:
        """Warms up with two turns; parts with variants of a peer far from its fastest one."""
        turns = [self.turn(), self.turn()]
        best = {name: min(turn[name] for turn in turns) for name in turns[-1]}
        for name in best:
            package = self.workers[name].record.program.package
            rivals = [s for n, s in best.items() if self._package(n) == package]
            if package is not None and best[name] > HOPELESS * min(rivals):
                said = f"{best[name]:.2f} s when warm, {min(rivals):.2f} s the fastest variant"
                self.part(name, said)

    def part(self, name: str, excuse: str) -> None:
        """Ends a program."""
        self.workers.pop(name).end()
        self.excuses[name] = excuse

    def _package(self, name: str) -> str | None:
        worker = self.workers.get(name)
        return worker.record.program.package if worker else None


def largest_gap(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """‖found − expected‖ / ‖expected‖ of the array where it is largest."""
    if found.keys() != expected.keys():
        return float("inf")
    norm = np.linalg.norm
    return max(
        float(norm(found[n] - e) / max(norm(e), np.finfo(np.float32).tiny))
        for n, e in expected.items()
    )


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _last_line(log: Path) -> str:
    """The last thing a process said."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it ended, or did not answer in time, without a word"
