"""A federated run directory, written by the library: four unequal clients, eight methods."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from jaxnas.core.config import dump_config, make_config
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.task import Contender
from jaxnas.fed.partition import POOLED
from jaxnas.reconstruction.evaluate import ReconstructionEvaluator
from jaxnas.reconstruction.scoring import Evaluation, SliceScore
from jaxnas.stages.evaluate import contender_rows
from tests.report import fake_run

# Name: volumes of three slices, image size, accelerations, and how hard its images are.
CLIENTS = {
    "fastmri": (6, (1.0, 1.0), (4.0, 8.0), 1.0),
    "cc359": (3, (1.0, 0.86), (4.0, 8.0), 1.15),
    "modl_brain": (2, (0.9, 0.9), (4.0, 6.0), 1.5),
    "siat": (1, (0.8, 1.0), (4.0, 8.0), 1.25),
}
# Share of the zero-filled error that is left, parameters, MACs, shared parameters.
METHODS = {
    "zero_filled": (1.0, 0, 0, 0),
    "tv": (0.66, 0, 0, 0),
    "fastmri_unet/non_fed": (0.46, 7756418, 35604500480, 0),
    "fastmri_unet/fedavg": (0.45, 7756418, 35604500480, 7756418),
    "fastmri_unet/fedprox": (0.445, 7756418, 35604500480, 7756418),
    "fastmri_unet/fedmri": (0.41, 7756418, 35604500480, 4709664),
    "fedautomri_baseline/fedavg": (0.385, 260866, 85312143360, 260866),
    "derived/non_fed": (0.375, 16006, 4920000000, 0),
    "derived/fedavg": (0.345, 16006, 4920000000, 16006),
    "derived/fedautomri": (0.335, 16006, 4920000000, 16006),
}
TRAINED = [key for key in METHODS if "/" in key]
ROUNDS, SEARCH_ROUNDS = 150, 50
SUPERNET = 181_234


CONTENDERS = [Contender(*key.split("/")) for key in METHODS]
CONFIG = make_config(
    {
        "name": "fedautomri",
        "network": {
            "space": "fedautomri",
            "channels": 8,
            "cells": 2,
            "nodes": 3,
            "cascades": 5,
            "shared": True,
        },
        "search": {"method": "milenas"},
        "federated": {
            "clients": [{"name": client, "volumes": [f"{client}_*"]} for client in CLIENTS],
            "search_rounds": SEARCH_ROUNDS,
            "rounds": ROUNDS,
            "local_epochs": 5,
            "bad_update": "drop",
            "methods": [
                {"model": contender.model, "strategy": contender.strategy}
                for contender in CONTENDERS
                if contender.strategy
            ],
        },
    }
)


def write_run(folder, *, size=96, seed=0):
    """Writes a complete run directory and returns its path."""
    run_dir = RunDir(write_search(folder, seed=seed))
    rng = np.random.default_rng(seed + 1)
    found = {client: evaluate(client, size, rng) for client in CLIENTS}
    evaluator = ReconstructionEvaluator(CONFIG)
    evaluator.write(run_dir, found, CONTENDERS)
    groups = {client: [own] for client, own in found.items()} | {POOLED: [*found.values()]}
    rows = [
        row | fake_run.facts(*METHODS[contender.name][1:3])
        for contender in CONTENDERS
        for row in contender_rows(contender, evaluator, groups)
    ]
    fake_run.write_metrics(run_dir, "4 clients, 12 test volumes, 36 slices", rows)
    fake_run.write_log(run_dir, [record for key in TRAINED for record in train_log(key, rng)])
    run_dir.communication.write(communication())
    for name in ("search", *(f"train {key}" for key in TRAINED)):
        fake_run.record_timing(run_dir, name, 12.5, ROUNDS, 930.0)
    return run_dir.path


def write_search(folder, *, seed=0):
    """Writes what the search alone leaves and returns the path."""
    run_dir = RunDir(Path(folder))
    rng = np.random.default_rng(seed)
    run_dir.config.write(dump_config(CONFIG))
    run_dir.clients.write(roster())
    alphas = fake_run.search_history(3, "fedautomri", rng, records=SEARCH_ROUNDS + 1, every=1)
    fake_run.write_search(run_dir, alphas)
    fake_run.write_log(run_dir, search_log(rng))
    run_dir.communication.update("search", communication()["search"])
    fake_run.record_timing(run_dir, "search", 95.0, SEARCH_ROUNDS, 2100.0)
    return run_dir.path


def roster():
    """`clients.json`: the first clients have the most volumes."""
    return [
        {
            "name": client,
            "weight": 60.0 * volumes,
            "shape": [round(256 * part) for part in shape],
            "coils": 1,
            "acquisition": {
                "mask": "random",
                "accelerations": list(accelerations),
                "center_fractions": [0.32 / a for a in accelerations],
                "peak": 6.0,
            },
            "volumes": {
                split: [f"{split}_{i:03d}.h5" for i in range(count * volumes)]
                for split, count in {"valid": 1, "train": 20, "test": 1}.items()
            },
            "slices": {"valid": 3 * volumes, "train": 60 * volumes, "test": 3 * volumes},
        }
        for client, (volumes, shape, accelerations, _) in CLIENTS.items()
    ]


def communication():
    """Four bytes per shared parameter in both directions; seventy-two alphas in the search."""
    sizes = {"search": SUPERNET + 72} | {key: METHODS[key][3] for key in TRAINED}
    rounds = {"search": SEARCH_ROUNDS} | dict.fromkeys(TRAINED, ROUNDS)
    return {
        key: {
            "up": 4 * size,
            "down": 4 * size,
            "clients": len(CLIENTS),
            "rounds": rounds[key],
            "total": 8 * size * len(CLIENTS) * rounds[key],
        }
        for key, size in sizes.items()
    }


def evaluate(client, size, rng):
    """The evaluation of one client."""
    volumes, shape, accelerations, hard = CLIENTS[client]
    slices, examples, places = [], {}, {}
    for volume in range(volumes):
        for index in range(3):
            target = fake_run.phantom(size, rng)[crop(size, shape)]
            for acceleration in map(int, accelerations):
                mask, zero = fake_run.zero_fill(target, acceleration, rng)
                keep = volume == 0 and index == 1
                name = f"file_{volume:03d}.h5"
                if keep:
                    places[f"{acceleration}"] = {"volume": name, "slice": index}
                    examples |= {f"{acceleration}/target": target, f"{acceleration}/mask": mask}
                for key, (left, *_) in METHODS.items():
                    image = reconstruct(key, target, zero, left * hard * luck(key, client), rng)
                    found = fake_run.scores(target, image)
                    slices.append(SliceScore(key, name, index, acceleration, *found))
                    if keep:
                        examples[f"{acceleration}/{key}"] = image
    return Evaluation(tuple(slices), fake_run.volumes_of(slices), examples, places)


def luck(key, client):
    """How much a method suits a client: training alone hurts the small ones."""
    small = list(CLIENTS).index(client) / (len(CLIENTS) - 1)
    own = np.random.default_rng([*key.encode(), *client.encode()]).normal(0, 0.02)
    return 1 + own + {"non_fed": 0.12, "fedmri": 0.03}.get(key.partition("/")[2], 0) * (small - 0.4)


def crop(size, shape):
    """The central window of an image (size, size) that covers these fractions of it."""
    height, width = (2 * round(size * part / 2) for part in shape)
    top, left = (size - height) // 2, (size - width) // 2
    return slice(top, top + height), slice(left, left + width)


def reconstruct(key, target, zero, left, rng):
    """The target with a part of the zero-filled error and a little noise."""
    if key == "zero_filled":
        return zero
    noise = 5e-6 * rng.normal(size=target.shape)
    error = gaussian_filter(zero - target, 0.4)
    return np.abs(target + min(left, 0.9) * error + noise).astype(np.float32)


def search_log(rng):
    """Losses of every client and their mean, every round; one client misses a few rounds."""
    rows = []
    for step in range(1, SEARCH_ROUNDS + 1):
        losses = {}
        for client, (*_, hard) in CLIENTS.items():
            base = (0.09 * np.exp(-step / 9) + 0.02) * hard
            losses[client] = [base * np.exp(rng.normal(0, 0.06)) * k for k in (1.0, 1.12)]
        if 20 <= step < 26:
            del losses["siat"]
        row = {"stage": "search", "model": "fedautomri", "step": step}
        for i, name in enumerate(("train_loss", "valid_loss")):
            row[name] = float(np.mean([pair[i] for pair in losses.values()]))
            row |= {f"{name}/{client}": float(pair[i]) for client, pair in losses.items()}
        rows.append(row | {"w_grad": 0.1})
    return rows


def train_log(key, rng):
    """Loss every two rounds, validation PSNR every ten; `siat` is dropped now and then."""
    left, records = METHODS[key][0], []
    for step in range(2, ROUNDS + 1, 2):
        dropped = key == "fastmri_unet/fedprox" and step in (40, 42, 90)
        present = {c: v[-1] for c, v in CLIENTS.items() if not (dropped and c == "siat")}
        record = {"stage": "train", "model": key, "step": step}
        losses = {
            c: (0.05 * np.exp(-step / 14) + 0.025 * left) * hard * np.exp(rng.normal(0, 0.08))
            for c, hard in present.items()
        }
        record |= {"loss": float(np.mean([*losses.values()]))}
        record |= {f"loss/{c}": float(v) for c, v in losses.items()}
        record |= {"dropped": 0.5 if dropped else 0.0}
        if step % 10 == 0:
            psnr = {
                c: 44 - 16 * left - 9 * np.log(v[-1]) - 6 * np.exp(-step / 30) + rng.normal(0, 0.08)
                for c, v in CLIENTS.items()
            }
            record |= {"valid_psnr": float(np.mean([*psnr.values()]))}
            record |= {f"valid_psnr/{c}": float(v) for c, v in psnr.items()}
        records.append(record)
    return records


def read_slices(folder):
    """The rows of `slices.csv`."""
    return RunDir(Path(folder)).slices.read()
