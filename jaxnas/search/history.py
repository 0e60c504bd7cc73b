"""The history of a search on the host: alphas over time, the best genotype, when to stop."""

from collections.abc import Mapping
from typing import Any

from jaxnas.engine.rundir import JsonFile
from jaxnas.spaces.genotype import Genotype, genotype_from_json
from jaxnas.spaces.space import Space


def searched_genotypes(alphas: JsonFile) -> tuple[Genotype, ...]:
    """The genotypes along a search, each once, the last first; none where nothing was searched."""
    if not alphas.exists():
        return ()
    records = reversed(alphas.read()["history"])
    return tuple(dict.fromkeys(genotype_from_json(record["genotype"]) for record in records))


class History:
    """Records of a search, one per check; saved with the checkpoint as JSON.

    `patience` > 0 stops the search after that many checks in a row with the same genotype
    (the paper: when the cell structure stays stable). Those up to step `warmup` do not count:
    while the alphas are held still their genotype is stable for no reason. The best genotype is
    the one recorded at the lowest validation loss. `max_skips` as in `Space.derive`.
    """

    def __init__(
        self,
        space: Space,
        *,
        patience: int = 0,
        max_skips: int | None = None,
        warmup: int = 0,
    ):
        self.space, self.patience, self.max_skips = space, patience, max_skips
        self.warmup = warmup
        self.records: list[dict[str, Any]] = []

    def record(self, step: int, weights: Any, facts: Mapping[str, float]) -> Genotype:
        """Adds softmaxed weights at `step`, and other facts, such as losses; returns the
        genotype."""
        genotype = self.space.derive(weights, max_skips=self.max_skips)
        self.records.append(
            {
                "step": step,
                **self.space.record(weights),
                "genotype": genotype.to_json(),
                **facts,
            }
        )
        return genotype

    @property
    def stable_checks(self) -> int:
        """The number of latest checks after the warm-up that agree on what would be built."""
        count, decision = 0, self.space.decision
        for record in reversed(self.records):
            held = record["step"] <= self.warmup
            if held or decision(record) != decision(self.records[-1]):
                break
            count += 1
        return count

    @property
    def should_stop(self) -> bool:
        """True once the genotype has stayed the same for `patience` checks."""
        return 0 < self.patience <= self.stable_checks

    @property
    def last(self) -> Genotype:
        """The genotype of the latest record."""
        return genotype_from_json(self.records[-1]["genotype"])

    @property
    def best(self) -> Genotype:
        """The genotype recorded at the lowest validation loss; the latest where none is known."""
        known = [r for r in self.records if "valid_loss" in r] or self.records[-1:]
        return genotype_from_json(min(known, key=lambda r: r.get("valid_loss", 0.0))["genotype"])

    def summary(self) -> dict[str, Any]:
        """The content of alphas.json."""
        edges = [list(edge) for edge in self.space.edges()]
        return {
            "space": self.space.name,
            "operations": list(self.space.operations),
            "cells": dict.fromkeys(self.space.cells, edges),
            "history": self.records,
            "best": self.best.to_json(),
        }

    def to_json(self) -> dict[str, Any]:
        """The state that must survive a restart."""
        return {"records": self.records}

    def from_json(self, value: Mapping[str, Any]) -> None:
        """Takes the records back, replacing its own."""
        self.records = list(value["records"])
