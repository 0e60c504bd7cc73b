"""A genotype: which operation reads which input, node by node, and its JSON form.

Inputs are numbered as the papers number them. A cell of two inputs reads 0, the output of cell
l−2, and 1, of cell l−1; 2 + i is node i of the same cell. A cell of one input reads it as 0, and i
is its node X_i, counted from one. A two-level space adds `paths`: lists of scales, one per layer
boundary.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_json

Pick = tuple[str, int]
Node = tuple[Pick, ...]
TOLERANCE = 1e-3  # of the sum of an edge's weights
Nested = tuple[tuple[float, ...], ...]  # a number per pick, node by node
Arrangement = tuple[tuple[str, Any], ...]  # (key, value) pairs in the order of the keys
CELL_INPUTS = {
    1: "0 is the cell's input, 1 its first node",
    2: "0 and 1 are the cell's inputs, 2 + i is node i",
}


@dataclass(frozen=True)
class Genotype:
    """The discrete architecture of one space; hashable, so that equal genotypes compile once.

    `cells` holds (cell name, nodes) pairs; a node is a tuple of (operation, input) picks.
    `weights`, nested alike, holds the softmax weight of every pick, renormalised to one over the
    picks of an edge; None where the search has none to tell. `arrangement` holds the keys of the
    section `network` that were chosen with the cells; None where they are the config's own.

    >>> import jaxnas
    >>> node = (("sep_conv_3x3", 0), ("skip_connect", 1))
    >>> jaxnas.Genotype("csmri_a", (("normal", (node,)),)).to_json()["cells"]
    {'normal': [[['sep_conv_3x3', 0], ['skip_connect', 1]]]}
    """

    space: str
    cells: tuple[tuple[str, tuple[Node, ...]], ...]
    paths: tuple[tuple[int, ...], ...] | None = None
    weights: tuple[tuple[str, Nested], ...] | None = None
    arrangement: Arrangement | None = None

    def cell(self, name: str) -> tuple[Node, ...]:
        """The nodes of the cell called `name`; KeyError if there is none."""
        return dict(self.cells)[name]

    def cell_weights(self, name: str) -> Nested:
        """The weights of the cell called `name`; 1 for every pick if the genotype has none."""
        if self.weights is None:
            return tuple((1.0,) * len(node) for node in self.cell(name))
        return dict(self.weights)[name]

    def operations(self, name: str) -> tuple[str, ...]:
        """The operations that the cell called `name` runs, one per pick."""
        return tuple(operation for node in self.cell(name) for operation, _ in node)

    def drawn_paths(self) -> tuple[tuple[int, ...], ...]:
        """The paths of a two-level space; ValueError if the genotype has none."""
        if not self.paths:
            raise ValueError("expected a genotype with paths, found none")
        return self.paths

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict: space, cells, paths; weights and arrangement if there are any."""
        cells = {name: [[list(p) for p in node] for node in nodes] for name, nodes in self.cells}
        paths = None if self.paths is None else [list(path) for path in self.paths]
        value = {"space": self.space, "cells": cells, "paths": paths}
        if self.weights is not None:
            value["weights"] = {name: [list(w) for w in nodes] for name, nodes in self.weights}
        if self.arrangement is not None:
            value["arrangement"] = dict(self.arrangement)
        return value


def genotype_from_json(value: Any, *, where: str = "genotype") -> Genotype:
    """The genotype of a JSON value; a malformed one raises UserError naming `where`."""
    if not isinstance(value, Mapping) or not {"space", "cells"} <= set(value):
        raise UserError(f"{where}: expected an object with the keys space and cells")
    if not isinstance(value["cells"], Mapping):
        raise UserError(f"{where}: cells: expected an object of cell name: list of nodes")
    try:
        cells = tuple(
            (str(name), tuple(tuple((str(op), int(i)) for op, i in node) for node in nodes))
            for name, nodes in value["cells"].items()
        )
    except (TypeError, ValueError):
        raise UserError(
            f"{where}: cells: every node must be a list of [operation, input] pairs"
        ) from None
    paths = value.get("paths")
    if paths is not None:
        paths = _paths(paths, f"{where}: paths")
    weights = value.get("weights")
    if weights is not None:
        weights = _weights(weights, dict(cells), f"{where}: weights")
    arrangement = value.get("arrangement")
    if arrangement is not None:
        arrangement = _arrangement(arrangement, f"{where}: arrangement")
    return Genotype(str(value["space"]), cells, paths, weights, arrangement)


def _arrangement(value: Any, where: str) -> Arrangement:
    """The arrangement of a JSON value; UserError unless an object of plain values."""
    plain = isinstance(value, Mapping) and all(
        each is None or isinstance(each, bool | int | float | str) for each in value.values()
    )
    if not plain:
        raise UserError(
            f"{where}: found {value!r}, expected null or an object of keys of the section network"
        )
    return tuple(sorted(value.items()))


def _paths(value: Any, where: str) -> tuple[tuple[int, ...], ...]:
    """The paths of a JSON value; UserError unless lists of whole numbers."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError(f"{where}: found {value!r}, expected null or a list of lists of scales")
    for number, path in enumerate(value):
        if not isinstance(path, Sequence) or any(type(scale) is not int for scale in path):
            raise UserError(
                f"{where}[{number}]: found {path!r}, expected a list of scales, whole numbers from "
                f"0, one per layer boundary"
            )
    return tuple(map(tuple, value))


def _weights(
    value: Any, cells: Mapping[str, tuple[Node, ...]], where: str
) -> tuple[tuple[str, Nested], ...]:
    """The weights of a JSON value; UserError unless nested as `cells` and one on every edge."""
    try:
        weights = {name: tuple(tuple(map(float, node)) for node in value[name]) for name in cells}
    except (TypeError, ValueError, KeyError):
        raise UserError(f"{where}: expected an object of cell name: list of nodes") from None
    for name, nodes in cells.items():
        if [len(node) for node in nodes] != [len(node) for node in weights[name]]:
            raise UserError(f"{where}: cell {name!r}: expected one number for every pick in cells")
        for i, (node, shares) in enumerate(zip(nodes, weights[name])):
            for source in {source for _, source in node}:
                own = [share for share, pick in zip(shares, node) if pick[1] == source]
                if not (min(own) >= 0 and abs(sum(own) - 1) < TOLERANCE):
                    raise UserError(
                        f"{where}: cell {name!r}, node {i}, input {source}: found {own}, expected "
                        f"numbers that are not negative and add up to 1"
                    )
    return tuple(weights.items())


def load_genotype(path: str | Path) -> Genotype:
    """Reads a genotype file; UserError when missing, not JSON or malformed.

    >>> import jaxnas
    >>> jaxnas.load_genotype("nowhere.json")
    Traceback (most recent call last):
    jaxnas.core.errors.UserError: nowhere.json: no such file
    """
    return genotype_from_json(read_json(path), where=str(path))


def save_genotype(path: str | Path, genotype: Genotype) -> Path:
    """Writes a genotype file atomically."""
    return write_json(path, genotype.to_json())


def check_genotype(
    genotype: Genotype,
    *,
    space: str,
    cells: Sequence[str],
    operations: Sequence[str],
    inputs: int = 2,
    where: str = "genotype",
) -> Genotype:
    """Returns `genotype` if it belongs to the space; otherwise UserError with the first misfit.

    `inputs` is the number of inputs of a cell.
    """
    if genotype.space != space:
        raise UserError(
            f"{where}: belongs to space {genotype.space!r}, the config asks for {space!r}; "
            f"set network.space or give a genotype of that space"
        )
    names = [name for name, _ in genotype.cells]
    if sorted(names) != sorted(cells):
        raise UserError(f"{where}: has cells {names}, space {space!r} needs {list(cells)}")
    for name, nodes in genotype.cells:
        if not nodes:
            raise UserError(f"{where}: cell {name!r} has no nodes; at least one is needed")
        for i, node in enumerate(nodes):
            _check_node(
                node,
                f"{where}: cell {name!r}, node {i}",
                operations,
                i + inputs,
                CELL_INPUTS[inputs],
            )
    return genotype


def _check_node(
    node: Node, where: str, operations: Sequence[str], readable: int, numbering: str
) -> None:
    if not node:
        raise UserError(f"{where}: no picks; expected at least one [operation, input]")
    for operation, source in node:
        if operation not in operations:
            close = difflib.get_close_matches(operation, operations, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(operations)}"
            raise UserError(f"{where}: operation {operation!r} is not in this space; {hint}")
        if not 0 <= source < readable:
            raise UserError(
                f"{where}: input {source} does not exist; expected 0 to {readable - 1} "
                f"({numbering})"
            )


def describe(genotype: Genotype) -> str:
    """One line a person can read: the cells, and the arrangement where it has one."""
    value = genotype.to_json()
    parts = [value[key] for key in ("cells", "arrangement") if key in value]
    return " ".join(json.dumps(part, separators=(",", ":")) for part in parts)
