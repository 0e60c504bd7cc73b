"""The growth of time and memory: the exponent p of a·nᵖ, fitted to the logarithms.

`scaling/clients_*`: a federated round with n clients, four at a time, the training round of
bench_round. `scaling/pixels_time`: the FedAutoMRI supernet of bench_supernet on n pixels. There is
no peer; the measured points stand in the note.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import bench_round, bench_supernet
from benchmarks.cases import Case
from benchmarks.rows import Row, describe
from benchmarks.timing import Outcome, Program, compare, summary

CLIENTS, CHUNK = (4, 8, 16), 4
SIDES = (64, 96, 128)
ROUNDS = 3


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def row(name: str, sizes: Sequence[int], values: Sequence[float], unit: str, programs) -> Row:
    """The exponent, and the points it was fitted to."""
    points = ", ".join(f"{n}: {value:.3g} {unit}" for n, value in zip(sizes, values))
    return Row(name, "exponent", exponent(sizes, values), note=points, programs=programs)


def median(outcome: Outcome, name: str) -> float:
    """Seconds of a program; RuntimeError with its excuse if it was not timed."""
    if name not in outcome.records:
        raise RuntimeError(outcome.excuses[name])
    return summary(outcome.records[name].seconds)["median"]


def measure_clients(folder: Path) -> Iterator[Row]:
    """A round against the number of clients."""
    seconds, peaks, programs = [], [], {}
    for clients in CLIENTS:
        problem = folder / f"{clients}.npz"
        setting = bench_round.Setting("train", clients=clients, chunk=CHUNK)
        bench_round.make_problem(problem, setting)
        found = compare([bench_round.OURS[0]], problem, tolerance=0.0, rounds=ROUNDS)
        name = bench_round.OURS[0].name
        seconds.append(median(found, name))
        peaks.append(found.records[name].peak_mib)
        programs[f"{name}, {clients} clients"] = describe(found)[name]
    yield row("scaling/clients_time", CLIENTS, seconds, "s", programs)
    yield row("scaling/clients_memory", CLIENTS, peaks, "MiB", {})


def measure_pixels(folder: Path) -> Iterator[Row]:
    """The gradient of a supernet against the number of pixels."""
    seconds, programs, program = [], {}, Program("jaxnas", "benchmarks.bench_supernet")
    for side in SIDES:
        problem = folder / f"{side}.npz"
        setting = dataclasses.replace(bench_supernet.SETTINGS["fedautomri"], size=side)
        bench_supernet.make_problem(problem, setting)
        found = compare([program], problem, tolerance=0.0, rounds=ROUNDS)
        seconds.append(median(found, program.name))
        programs[f"{program.name}, {side}²"] = describe(found)[program.name]
    yield row("scaling/pixels_time", [side**2 for side in SIDES], seconds, "s", programs)


CASES = (
    Case(("scaling/clients_time", "scaling/clients_memory"), measure_clients),
    Case(("scaling/pixels_time",), measure_pixels),
)
