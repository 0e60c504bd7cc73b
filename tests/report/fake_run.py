"""A run directory, written by the library itself out of plausible numbers and ellipses."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from jaxnas.core.config import dump_config, make_config
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.rundir import RunDir
from jaxnas.reconstruction.evaluate import CONVENTION, ReconstructionEvaluator
from jaxnas.reconstruction.scoring import Evaluation, SliceScore, VolumeScore
from jaxnas.spaces.genotype import genotype_from_json

OPERATIONS = {
    "csmri_a": ["sep_conv_3x3", "dil_2_conv_3x3", "dil_3_conv_3x3", "skip_connect", "none"],
    "csmri_b": ["sep_conv_3x3", "dil_2_conv_3x3", "conv_9x1_1x9", "skip_connect", "none"],
    "fedautomri": [
        *(f"std_conv_{k}x{k}" for k in (3, 5, 7)),
        *(f"dil_{rate}_conv_3x3" for rate in (2, 3)),
        *(f"sep_conv_{k}x{k}" for k in (3, 5, 7)),
    ],
}
# Name: share of the zero-filled error that is left, parameters, MACs.
MODELS = {
    "zero_filled": (1.0, 0, 0),
    "tv": (0.62, 0, 0),
    "unet": (0.44, 3348536, 12147500000),
    "dccnn": (0.43, 170022, 17355571200),
    "dccnn_11": (0.41, 613926, 62693376000),
    "modl": (0.47, 56674, 17355571200),
    "modl_11": (0.455, 204642, 62693376000),
    "rdn": (0.415, 86790, 25897779200),
    "rdn_8": (0.40, 86790, 68600217600),
    "derived": (0.375, 142272, 14568652800),
}
ELLIPSES = [  # value, y, x, half height, half width, angle
    (1.0, 0.0, 0.0, 0.90, 0.68, 0.0),
    (-0.75, 0.0, 0.0, 0.84, 0.62, 0.0),
    (0.30, 0.02, 0.0, 0.80, 0.58, 0.0),
    (-0.28, -0.08, 0.17, 0.30, 0.09, -0.3),
    (-0.28, -0.08, -0.17, 0.30, 0.09, 0.3),
    (0.22, 0.42, 0.0, 0.22, 0.26, 0.0),
    (0.25, -0.5, 0.12, 0.05, 0.08, 0.2),
    (0.3, 0.3, -0.3, 0.03, 0.03, 0.0),
    (-0.2, 0.1, 0.36, 0.14, 0.07, 0.8),
    (0.2, -0.35, -0.33, 0.12, 0.05, -0.7),
]


def phantom(size, rng):
    """A head of ellipses (size, size) with folds and a little texture, in arbitrary units."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = np.zeros((size, size))
    for value, cy, cx, a, b, angle in ELLIPSES:
        cy, cx = np.array([cy, cx]) + rng.normal(0, 0.01, 2)
        u = np.cos(angle) * (y - cy) + np.sin(angle) * (x - cx)
        v = -np.sin(angle) * (y - cy) + np.cos(angle) * (x - cx)
        image += value * ((u / a) ** 2 + (v / b) ** 2 < 1)
    brain = (y / 0.8) ** 2 + (x / 0.58) ** 2 < 1
    folds = gaussian_filter(rng.normal(size=image.shape), size / 80)
    image += brain * 0.05 * np.sign(folds / folds.std())
    return 4e-4 * np.clip(gaussian_filter(image, 0.6), 0, None).astype(np.float32)


def zero_fill(image, acceleration, rng):
    """A Cartesian mask (W,) and the magnitude of the zero-filled image."""
    width = image.shape[1]
    low = max(4, round(0.32 * width / acceleration))
    mask = rng.random(width) < (width / acceleration - low) / (width - low)
    mask[width // 2 - low // 2 : width // 2 + low // 2] = True
    kspace = np.fft.fftshift(np.fft.fft2(image))
    return mask, np.abs(np.fft.ifft2(np.fft.ifftshift(kspace * mask))).astype(np.float32)


def scores(target, image):
    """The slice's mse, nmse, psnr and ssim."""
    mse = float(np.mean((target - image) ** 2))
    peak = float(target.max())
    mean = [uniform_filter(x, 7) for x in (target, image, target**2, image**2, target * image)]
    vx, vy, vxy = mean[2] - mean[0] ** 2, mean[3] - mean[1] ** 2, mean[4] - mean[0] * mean[1]
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    ssim = (2 * mean[0] * mean[1] + c1) * (2 * vxy + c2)
    ssim /= (mean[0] ** 2 + mean[1] ** 2 + c1) * (vx + vy + c2)
    nmse, psnr = mse / float(np.mean(target**2)), 10 * float(np.log10(peak**2 / mse))
    return mse, nmse, psnr, float(ssim.mean())


def write_run(folder, *, nodes=3, space="csmri_a", size=96, models=tuple(MODELS), seed=0):
    """Writes a complete run directory and returns its path."""
    run_dir = RunDir(Path(folder))
    rng = np.random.default_rng(seed)
    config = make_config(
        {
            "name": "nas_csmri",
            "data": {"synthetic": {"volumes": 12, "slices": 8, "size": [96, 96]}},
            "network": {"space": space, "nodes": nodes},
            "train": {"models": [m for m in models if MODELS[m][1]], "steps": 2000, "batch": 4},
        }
    )
    run_dir.config.write(dump_config(config))
    write_search(run_dir, search_history(nodes, space, rng))
    evaluation = evaluate(size, models, rng)
    evaluator = ReconstructionEvaluator(config)
    evaluator.write(run_dir, {"site": evaluation}, ())
    rows = [
        {"model": model, **row, **facts(*MODELS[model][1:])}
        for model in models
        for row in evaluator.rows(model, [evaluation])
    ]
    write_metrics(run_dir, "synthetic, 2 volumes, 12 slices", rows)
    trained = config.train.models
    write_log(run_dir, search_log(rng) + [r for m in trained for r in train_log(m, rng)])
    for i, name in enumerate(["search", *trained]):
        record_timing(run_dir, name, 8 + 3 * i, 2000, 61.5 + i)
    return run_dir.path


def write_search(run_dir, alphas):
    """Writes what a search finds."""
    run_dir.alphas.write(alphas)
    run_dir.genotype.write(genotype_from_json(alphas["history"][-1]["genotype"]))


def write_metrics(run_dir, data, rows):
    """Writes metrics.json with the rows of a reconstruction."""
    head = {"schema": 1, "task": "reconstruction", "data": data, "convention": CONVENTION}
    run_dir.metrics.write({**head, "rows": rows})


def write_log(run_dir, rows):
    """Writes log.jsonl and the events."""
    with MetricWriter(run_dir.path) as writer:
        for row in rows:
            values = {k: v for k, v in row.items() if k not in ("stage", "model", "step")}
            writer.write(row["stage"], row["model"], row["step"], values)


def record_timing(run_dir, name, compile_s, steps, steady_s):
    """Notes the time of a stage."""
    times = {"compile_s": compile_s, "steps": steps, "steady_s": steady_s}
    run_dir.record_timing(name, times | {"step_ms": 1000 * steady_s / steps})


def evaluate(size, models, rng):
    """The evaluation of two volumes of three slices by models of known errors."""
    slices, examples, places = [], {}, {}
    for volume in range(2):
        for index in range(3):
            target = phantom(size, rng)
            for acceleration in (4, 8):
                mask, zero = zero_fill(target, acceleration, rng)
                name = f"file_{volume:03d}.h5"
                keep = volume == 0 and index == 1
                if keep:
                    places[f"{acceleration}"] = {"volume": name, "slice": index}
                    examples |= {f"{acceleration}/target": target, f"{acceleration}/mask": mask}
                for model in models:
                    left = MODELS[model][0] * (1 if acceleration == 4 else 1.05)
                    error = gaussian_filter(zero - target, 0 if model == "zero_filled" else 0.5)
                    noise = 4e-6 * rng.normal(size=target.shape) * (model != "zero_filled")
                    image = np.abs(target + left * error + noise).astype(np.float32)
                    found = scores(target, image)
                    slices.append(SliceScore(model, name, index, acceleration, *found))
                    if keep:
                        examples[f"{acceleration}/{model}"] = image
    return Evaluation(tuple(slices), volumes_of(slices), examples, places)


def volumes_of(slices):
    """The scores of volumes that are as those of their slices."""
    return tuple(
        VolumeScore(s.model, s.volume, s.acceleration, s.nmse, s.psnr, s.ssim) for s in slices
    )


def facts(params, macs):
    """The sizes in a row of metrics.json."""
    return {"params": params, "macs": macs, **flops(macs)}


def flops(macs):
    """The two FLOP counts of a network; the classical methods have none."""
    return {"flops": int(1.002 * macs), "flops_with_activations": int(1.02 * macs)} if macs else {}


def search_history(nodes, space, rng, *, records=40, every=50):
    """`alphas.json`: weights that sharpen towards a preference, and the genotypes on the way."""
    operations = OPERATIONS[space]
    edges = [[node, source] for node in range(nodes) for source in range(2 + node)]
    goal = rng.normal(0, 1.3, (len(edges), len(operations)))
    noise = rng.normal(0, 0.25, (records, *goal.shape)).cumsum(0) / 3
    history = []
    for t in range(records):
        logits = goal * (t / records) + noise[t] * (1 - t / records)
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        history.append(
            {
                "step": t * every,
                "weights": {"normal": p.round(6).tolist()},
                "genotype": genotype(p, edges, operations, nodes, space),
                "train_loss": 0.1 / (t + 1) + 0.02,
                "valid_loss": 0.1 / (t + 1) + 0.025,
            }
        )
    return {
        "space": space,
        "operations": operations,
        "cells": {"normal": edges},
        "history": history,
    }


def genotype(p, edges, operations, nodes, space):
    """The two strongest operations, other than none, of every node; of every edge in FedAutoMRI."""

    def strongest(places):
        found = [
            (p[e, o], operations[o], edges[e][1])
            for e in places
            for o in range(len(operations))
            if operations[o] != "none"
        ]
        return sorted(found, reverse=True)[:2]

    cell, weights = [], []
    for node in range(nodes):
        own = [e for e, (n, _) in enumerate(edges) if n == node]
        groups = [[e] for e in own] if space == "fedautomri" else [own]
        kept = [strongest(places) for places in groups]
        cell.append([[op, source] for picks in kept for _, op, source in picks])
        totals = [sum(weight for weight, *_ in picks) for picks in kept]
        weights.append([float(w / t) for picks, t in zip(kept, totals) for w, *_ in picks])
    found = {"space": space, "cells": {"normal": cell}, "paths": None}
    return found | ({"weights": {"normal": weights}} if space == "fedautomri" else {})


def search_log(rng):
    """Losses of the search, every ten steps."""
    steps = np.arange(0, 2000, 10)
    train = (0.09 * np.exp(-steps / 300) + 0.022) * np.exp(rng.normal(0, 0.12, len(steps)))
    valid = (0.09 * np.exp(-steps / 320) + 0.026) * np.exp(rng.normal(0, 0.12, len(steps)))
    return [
        {
            "stage": "search",
            "model": "supernet",
            "step": int(s),
            "train_loss": float(t),
            "valid_loss": float(v),
        }
        for s, t, v in zip(steps, train, valid)
    ]


def train_log(model, rng):
    """Loss every ten steps and validation PSNR every two hundred."""
    left = MODELS[model][0]
    records = []
    for step in range(0, 2001, 10):
        loss = (0.06 * np.exp(-step / 200) + 0.03 * left) * np.exp(rng.normal(0, 0.15))
        record = {"stage": "train", "model": model, "step": step, "loss": float(loss)}
        if step % 200 == 0:
            psnr = 34 - 8 * left - 6 * np.exp(-step / 400) + rng.normal(0, 0.05)
            record["valid_psnr"] = float(psnr)
        records.append(record)
    return records
