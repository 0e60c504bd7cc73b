"""The files of a run directory: what each is called, how it is read, and how it is written.

Every file is written whole or not at all (`core.files`). Reading JSON, a genotype or arrays raises
UserError, naming the file, where there are none; texts, tables and trees are read as they are.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_atomic, write_json
from jaxnas.spaces.genotype import Genotype, load_genotype, save_genotype


@dataclass(frozen=True)
class RunFile:
    """A file, or a folder, of a run directory."""

    path: Path

    def exists(self) -> bool:
        """True once the run has come so far."""
        return self.path.exists()

    def __str__(self) -> str:
        return str(self.path)


class TextFile(RunFile):
    """A text of any kind."""

    def read(self) -> str:
        """Returns the text."""
        return self.path.read_text()

    def write(self, text: str) -> Path:
        """Replaces the text."""
        return write_atomic(self.path, text)


class JsonFile(RunFile):
    """A JSON document."""

    def read(self) -> Any:
        """Returns the document; UserError where there is none, or it is malformed."""
        return read_json(self.path)

    def write(self, value: Any) -> Path:
        """Replaces the document."""
        return write_json(self.path, value)

    def update(self, name: str, value: Any) -> Path:
        """Sets one entry of a document of named entries, the others kept."""
        return self.write((self.read() if self.exists() else {}) | {name: value})


class GenotypeFile(RunFile):
    """A genotype."""

    def read(self) -> Genotype:
        """Returns the genotype; UserError where there is none, or it is malformed."""
        return load_genotype(self.path)

    def write(self, genotype: Genotype) -> Path:
        """Replaces the genotype."""
        return save_genotype(self.path, genotype)


class TableFile(RunFile):
    """A table as CSV: the names of the columns, then one line per row."""

    def read(self) -> list[dict[str, str]]:
        """Returns every row, as text under the names of the columns."""
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def write(self, text: str) -> Path:
        """Replaces the table by the CSV `text`."""
        return write_atomic(self.path, text)


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The CSV of rows that have the same columns; numbers as Python writes them, hence exact."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class ArraysFile(RunFile):
    """Named arrays, compressed as .npz, and beside them, as .json, where they were taken."""

    @property
    def places(self) -> JsonFile:
        """The document beside the arrays."""
        return JsonFile(self.path.with_suffix(".json"))

    def read(self) -> dict[str, np.ndarray]:
        """Returns the arrays; UserError for a file that holds none."""
        try:
            with self.path.open("rb") as handle, np.load(handle) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, BadZipFile) as error:
            raise UserError(
                f"{self.path}: not a readable file of arrays ({error}); evaluate the run again"
            ) from None

    def write(self, arrays: Mapping[str, np.ndarray], places: Any) -> Path:
        """Replaces the arrays and their places."""
        file = io.BytesIO()
        # No array is called allow_pickle.
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
        with file.getbuffer() as content:
            write_atomic(self.path, content)
        return self.places.write(places)


class TreeFile(RunFile):
    """A pytree of arrays in nested dicts, as MessagePack; the only file that needs jax."""

    def read(self) -> Any:
        """Returns the tree."""
        from flax import serialization

        return serialization.msgpack_restore(self.path.read_bytes())

    def write(self, tree: Any) -> Path:
        """Replaces the tree."""
        from flax import serialization

        return write_atomic(self.path, serialization.msgpack_serialize(tree))


F = TypeVar("F", bound=RunFile)


class _Entry(Generic[F]):
    """A file of a run directory, by its name there."""

    def __init__(self, name: str, kind: Callable[[Path], F]) -> None:
        self._name, self._kind = name, kind

    def __get__(self, run_dir: "RunDir", owner: type) -> F:
        return self._kind(run_dir.path / self._name)


@dataclass(frozen=True)
class RunDir:
    """The directory of a run; `path` is where it is."""

    path: Path

    # What is run, and on what.
    config = _Entry("config.yaml", TextFile)
    inputs = _Entry("inputs.json", JsonFile)
    clients = _Entry("clients.json", JsonFile)
    rates = _Entry("rates.json", JsonFile)
    latency_table = _Entry("latency_table.json", JsonFile)
    calibration = _Entry("calibration.json", JsonFile)
    # What a search finds.
    alphas = _Entry("alphas.json", JsonFile)
    genotype = _Entry("genotype.json", GenotypeFile)
    candidates = _Entry("candidates.csv", TableFile)
    networks = _Entry("networks.json", JsonFile)
    latency = _Entry("latency.json", JsonFile)
    # What steps and rounds leave.
    log = _Entry("log.jsonl", TextFile)
    timings = _Entry("timings.json", JsonFile)
    communication = _Entry("communication.json", JsonFile)
    # What an evaluation finds.
    metrics = _Entry("metrics.json", JsonFile)
    slices = _Entry("slices.csv", TableFile)
    volumes = _Entry("volumes.csv", TableFile)
    examples = _Entry("examples.npz", ArraysFile)
    overlays = _Entry("overlays.npz", ArraysFile)
    every_client = _Entry("examples", RunFile)
    report = _Entry("report.html", TextFile)

    def name(self, entry: str) -> str:
        """The file name of an entry: `metrics.json` of `metrics`."""
        return getattr(self, entry).path.name

    def derived(self, name: str) -> GenotypeFile:
        """The genotype of one of several networks that a search ended in."""
        return GenotypeFile(self.path / "genotypes" / f"{name}.json")

    def checkpoints(self, name: str) -> Path:
        """The checkpoint directory of a stage or a network."""
        return self.path / "checkpoints" / name.replace("/", "-")

    def statistics(self, name: str) -> TreeFile:
        """The batch statistics that a trained network is deployed with."""
        return TreeFile(self.path / "statistics" / f"{name.replace('/', '-')}.msgpack")

    def client_examples(self, client: str) -> ArraysFile:
        """The example images of one client."""
        return ArraysFile(self.every_client.path / f"{client}.npz")

    def figure(self, name: str) -> Path:
        """A picture of the report."""
        return self.path / "figures" / f"{name}.png"

    def record_timing(self, name: str, summary: Mapping[str, Any]) -> None:
        """Sets an entry of timings.json; one without steps never replaces one with them."""
        known = self.timings.read() if self.timings.exists() else {}
        if summary["steps"] or name not in known:
            self.timings.write(known | {name: dict(summary)})
