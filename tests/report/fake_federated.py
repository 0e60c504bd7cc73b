"""A federated run directory as the library writes it: four unequal clients, eight methods."""

import csv
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

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


def write_run(folder, *, size=96, seed=0):
    """Writes a complete run directory and returns its path."""
    folder = write_search(folder, seed=seed)
    rng = np.random.default_rng(seed + 1)
    slices = []
    (folder / "examples").mkdir()
    for client in CLIENTS:
        rows, examples, places = slices_and_examples(client, size, rng)
        slices += rows
        np.savez(folder / "examples" / f"{client}.npz", **examples)
        fake_run.write(folder / "examples" / f"{client}.json", places)
    fake_run.write_csv(folder / "slices.csv", slices)
    fake_run.write(folder / "metrics.json", summary(slices))
    log = search_log(np.random.default_rng(seed)) + [r for m in TRAINED for r in train_log(m, rng)]
    fake_run.write_log(folder / "log.jsonl", log)
    fake_run.write(folder / "communication.json", communication())
    timing = {"compile_s": 12.5, "steps": ROUNDS, "steady_s": 930.0, "step_ms": 6200.0}
    names = ["search", *(f"train {key}" for key in TRAINED)]
    fake_run.write(folder / "timings.json", dict.fromkeys(names, timing))
    return folder


def write_search(folder, *, seed=0):
    """Writes what the search alone leaves and returns the path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    alphas = fake_run.search_history(3, "fedautomri", rng, records=SEARCH_ROUNDS + 1, every=1)
    genotype = alphas["history"][-1]["genotype"]
    fake_run.write(folder / "alphas.json", alphas)
    fake_run.write(folder / "genotype.json", genotype)
    fake_run.write_log(folder / "log.jsonl", search_log(rng))
    search = {key: value for key, value in communication().items() if key == "search"}
    fake_run.write(folder / "communication.json", search)
    timing = {"compile_s": 95.0, "steps": SEARCH_ROUNDS, "steady_s": 2100.0, "step_ms": 42000.0}
    fake_run.write(folder / "timings.json", {"search": timing})
    fake_run.write(folder / "clients.json", roster())
    (folder / "config.yaml").write_text(CONFIG)
    return folder


CONFIG = """\
name: fedautomri
seed: 0
network: {space: fedautomri, channels: 8, cells: 2, nodes: 3, cascades: 5, shared: true}
search: {method: milenas}
train: {epochs: 750, optimizer: {name: adamw, rate: 1.0e-3}}
federated:
  search_rounds: 50
  rounds: 150
  local_epochs: 5
  bad_update: drop
"""


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


def slices_and_examples(client, size, rng):
    """Per-slice scores of one client, its example arrays and where they come from."""
    volumes, shape, accelerations, hard = CLIENTS[client]
    rows, examples, places = [], {}, {}
    for volume in range(volumes):
        for index in range(3):
            target = fake_run.phantom(size, rng)[crop(size, shape)]
            for acceleration in accelerations:
                mask, zero = fake_run.zero_fill(target, acceleration, rng)
                keep = volume == 0 and index == 1
                name = f"file_{volume:03d}.h5"
                label = f"{acceleration:g}"
                if keep:
                    places[label] = {"volume": name, "slice": index}
                    examples |= {f"{label}/target": target, f"{label}/mask": mask}
                for key, (left, *_) in METHODS.items():
                    image = reconstruct(key, target, zero, left * hard * luck(key, client), rng)
                    model, _, strategy = key.partition("/")
                    rows.append(
                        {
                            "model": model,
                            "strategy": strategy,
                            "client": client,
                            "volume": name,
                            "slice": index,
                            "acceleration": acceleration,
                        }
                        | fake_run.scores(target, image)
                    )
                    if keep:
                        examples[f"{label}/{key}"] = image
    return rows, examples, places


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


def summary(slices):
    """`metrics.json` from the per-slice scores: every client and acceleration, and all."""
    rows = []
    for key in METHODS:
        model, _, strategy = key.partition("/")
        mine = [s for s in slices if (s["model"], s["strategy"]) == (model, strategy)]
        for client in (*CLIENTS, "all"):
            here = [s for s in mine if client in ("all", s["client"])]
            for acceleration in (*sorted({s["acceleration"] for s in here}), "all"):
                row = {"model": model} | ({"strategy": strategy} if strategy else {})
                row |= {"client": client, "acceleration": acceleration}
                rows.append(
                    row
                    | statistics([s for s in here if acceleration in ("all", s["acceleration"])])
                )
                rows[-1] |= {"params": METHODS[key][1], "macs": METHODS[key][2]}
                rows[-1] |= fake_run.flops(METHODS[key][2])
    return {
        "schema": 1,
        "task": "reconstruction",
        "data": "4 clients, 12 test volumes, 36 slices",
        "convention": "per slice on the modulus, data range = maximum of the target slice",
        "rows": rows,
    }


def statistics(slices):
    """Count, mean and standard deviation of some slices."""
    stats = {
        k: {
            "mean": float(np.mean([s[k] for s in slices])),
            "std": float(np.std([s[k] for s in slices])),
        }
        for k in ("psnr", "ssim", "nmse", "mse")
    }
    volume = {k: stats[k] for k in ("psnr", "ssim", "nmse")}
    return {"n": len(slices), **stats, "volume": volume}


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
    with (Path(folder) / "slices.csv").open(newline="") as file:
        return list(csv.DictReader(file))
