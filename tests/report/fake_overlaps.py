"""The directory of a segmentation run, written by the library out of plausible numbers."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from jaxnas.core.config import dump_config, make_config
from jaxnas.engine.rundir import RunDir
from jaxnas.segmentation.evaluate import CONVENTION
from jaxnas.segmentation.rows import volumes_csv
from jaxnas.segmentation.scoring import ClassScore, OverlapScore
from jaxnas.spaces.genotype import genotype_from_json
from tests.report import fake_run

OPERATIONS = [
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_3x3",
]
# Model: decoder, number of paths, Dice, latency in ms, throughput in FPS, parameters.
NETWORKS = {
    "unet2d": (None, None, 0.901, 35.0, 31.6, 485_000),
    "bix_unet": (None, None, 0.923, 49.0, 20.1, 378_000),
    "ms_nas": ("dijkstra", 8, 0.933, 55.0, 18.8, 912_000),
    **{
        f"derived_dijkstra_{n}": ("dijkstra", n, d, ms, fps, 90_000 * n)
        for n, d, ms, fps in ((3, 0.849, 27, 39.8), (5, 0.905, 40, 32.0), (7, 0.918, 48, 22.1))
    },
    **{
        f"derived_ga_{n}": ("ga", n, d, ms, fps, 88_000 * n)
        for n, d, ms, fps in ((3, 0.859, 26, 40.4), (5, 0.910, 35, 34.1), (7, 0.922, 41, 28.9))
    },
    "derived_constrained_45": ("constrained", 9, 0.931, 44.6, 23.4, 700_000),
}
CELLS = {
    "expand": [
        [["sep_conv_3x3", 0]],
        [["conv_3x3", 0], ["skip_connect", 1]],
        [["dil_conv_3x3", 1], ["sep_conv_5x5", 2]],
    ],
    "keep": [
        [["sep_conv_5x5", 0]],
        [["sep_conv_3x3", 0], ["dil_conv_5x5", 1]],
        [["sep_conv_3x3", 0], ["skip_connect", 1]],
    ],
    "contract": [
        [["conv_3x3", 0]],
        [["dil_conv_3x3", 0], ["sep_conv_3x3", 1]],
        [["dil_conv_5x5", 0], ["conv_3x3", 2]],
    ],
}
PATHS = [
    [0, 1, 2, 3, 3, 2, 2, 1, 1, 0, 0],
    [0, 1, 2, 2, 2, 2, 2, 1, 1, 0, 0],
    [0, 0, 1, 2, 2, 3, 2, 1, 0, 0, 0],
    [0, 1, 1, 1, 2, 2, 1, 1, 1, 1, 0],
    [0, 1, 2, 3, 3, 3, 2, 1, 1, 0, 0],
]


def write_run(folder, *, size=64, random=24, seed=0):
    """Writes a complete run directory and returns its path."""
    run_dir = RunDir(Path(folder))
    rng = np.random.default_rng(seed)
    run_dir.config.write(dump_config(make_config({"name": "rtdnas", "task": "segmentation"})))
    run_dir.metrics.write(metrics(rng, random))
    found = genotype_from_json({"space": "rtdnas", "cells": CELLS, "paths": PATHS})
    run_dir.genotype.write(found)
    run_dir.calibration.write(calibration(rng))
    run_dir.alphas.write(alphas(rng))
    classes = dict.fromkeys(("rv", "myo", "lv"), ClassScore(0.9, 2.0, 90.0, 91.0))
    score = OverlapScore("unet2d", "patient101_ED", "patient101", "ED", "NOR", classes)
    run_dir.volumes.write(volumes_csv([score], list(classes)))
    log = [
        {"stage": "search", "model": "supernet", "step": s, "train_loss": l, "valid_loss": 1.1 * l}
        for s, l in ((s, float(np.exp(-s / 150) + 0.2)) for s in range(0, 400, 10))
    ]
    log += [
        {"stage": "train", "model": m, "step": s, "loss": float(np.exp(-s / 200) + 0.1)}
        for m in NETWORKS
        for s in range(0, 1000, 20)
    ]
    fake_run.write_log(run_dir, log)
    for name, steps in ({"search": 400} | dict.fromkeys(NETWORKS, 1000)).items():
        fake_run.record_timing(run_dir, name, 21.0, steps, 60.0)
    run_dir.overlays.write(*hearts(size, rng))
    return run_dir.path


def row(model, decoder, paths, dice, latency, rate, params, rng):
    """One row of metrics.json."""
    parts = {"rv": dice - 0.005, "myo": dice - 0.028, "lv": dice + 0.033}
    spread = {
        k: {"mean": v, "std": float(rng.uniform(0.015, 0.04)), "n": 40} for k, v in parts.items()
    }
    overall = {"mean": {"mean": dice, "std": 0.02, "n": 40}}
    far = {
        k: {"mean": 40 * (1 - v), "std": 1.5, "n": 39} for k, v in (parts | {"mean": dice}).items()
    }
    shapes = (("slice", 1, 0.2), ("stack", 10, 1.0))
    scopes = (("model", 1.0), ("transfer", 1.05), ("end_to_end", 1.6))
    timings = [
        {
            "scope": scope,
            "unit": unit,
            "shape": [z, 160, 160],
            "n": 300,
            **{p: latency * share * more * q for p, q in (("p50", 1), ("p90", 1.1), ("p99", 1.4))},
            "throughput_fps": rate / share / more,
        }
        for scope, more in scopes
        for unit, z, share in shapes
    ]
    kept = ("p50", "p90", "p99", "n", "scope", "unit")
    return {
        "model": model,
        "n": 40,
        "patients": 20,
        "dice": spread | overall,
        "hd95": far,
        "empty": {k: {"both": 0, "one": int(k == "rv")} for k in parts},
        "ejection_fraction": {k: {"pearson": 0.95, "bias": -1.2, "n": 20} for k in ("lv", "rv")},
        "decoder": decoder,
        "paths": paths,
        "params": params,
        "macs": 9000 * params,
        "latency_ms": {k: timings[1][k] for k in kept},
        "throughput_fps": rate,
        "timings": timings,
    }


def metrics(rng, random):
    """`metrics.json` with the paper's numbers and random architectures."""
    rows = [row(model, *facts, rng) for model, facts in NETWORKS.items()]
    rows[-1]["budget_ms"] = 45.0
    for k in range(random):
        latency = float(rng.uniform(20, 75))
        dice = 0.83 + 0.0014 * (latency - 20) - float(rng.gamma(2, 0.012))
        rate = 1000 / latency * float(rng.uniform(0.95, 1.2))
        rows.append(row(f"random_{k:02d}", "random", 5, dice, latency, rate, 400_000, rng))
    return {
        "schema": 1,
        "task": "segmentation",
        "data": "acdc: 40 test volumes (ED, ES) of 20 patients",
        "convention": CONVENTION,
        "limits": {"latency_ms": 50.0, "throughput_fps": 22.0},
        "rows": rows,
    }


def calibration(rng):
    """`calibration.json`."""
    x = rng.uniform(15, 60, 24)
    y = 1.12 * x + 2.1 + rng.normal(0, 1.2, 24)
    return {
        "a": 1.12,
        "b": 2.1,
        "n": 24,
        "mape": 2.9,
        "raw_mape": 14.2,
        "raw_bias_ms": -6.0,
        "spearman": 0.98,
        "kendall": 0.91,
        "warning": None,
        "predicted_ms": x.tolist(),
        "measured_ms": y.tolist(),
    }


def alphas(rng):
    """`alphas.json`: joint weights per node that sharpen."""
    edges = [[node, source] for node in range(3) for source in range(node + 1)]
    goals = {cell: rng.normal(0, 1.5, (6, len(OPERATIONS))) for cell in CELLS}
    history = []
    for step in range(0, 400, 20):
        weights = {}
        for cell, goal in goals.items():
            table = np.exp(goal * step / 400)
            for node in range(3):
                own = [i for i, (n, _) in enumerate(edges) if n == node]
                table[own] /= table[own].sum()
            weights[cell] = table.tolist()
        genotype = {"space": "rtdnas", "cells": CELLS, "paths": None}
        history.append({"step": step, "weights": weights, "genotype": genotype})
    cells = dict.fromkeys(CELLS, edges)
    return {"space": "rtdnas", "operations": OPERATIONS, "cells": cells, "history": history}


def hearts(size, rng):
    """Ellipses for a heart at ED and ES, and what networks make of them."""
    arrays, places = {}, {}
    y, x = np.mgrid[:size, :size] / size - 0.5
    for phase, shrink in (("ED", 1.0), ("ES", 0.75)):
        levels = {"base": (1, 1.0), "mid": (4, 0.85), "apex": (7, 0.5)}
        places[phase] = {
            "volume": f"patient101_{phase}",
            "spacing": [1.4, 1.4],
            "slices": {level: z for level, (z, _) in levels.items()},
        }
        for level, (_, part) in levels.items():
            truth = heart(x, y, 0.13 * part * shrink, 0.2 * part)
            noise = gaussian_filter(rng.normal(0, 1, (size, size)), 1.0)
            image = np.array([60, 190, 90, 210.0])[truth] + 60 * noise + 40 * (x**2 + y**2 < 0.16)
            place = f"{phase}/{level}"
            arrays |= {f"{place}/image": image.astype(np.float32), f"{place}/truth": truth}
            for model, (_, _, dice, *_) in NETWORKS.items():
                dx, dy = rng.normal(0, 0.25 * (1 - dice), 2)
                arrays[f"{place}/{model}"] = heart(x + dx, y + dy, 0.13 * part * shrink, 0.2 * part)
    return arrays, places


def heart(x, y, inner, outer):
    """Labels: LV in a ring of myocardium, RV beside it."""
    labels = np.zeros(x.shape, np.uint8)
    labels[((x + 0.16) / 0.9) ** 2 + y**2 < outer**2] = 1
    labels[x**2 + y**2 < outer**2] = 2
    labels[x**2 + y**2 < inner**2] = 3
    return labels
