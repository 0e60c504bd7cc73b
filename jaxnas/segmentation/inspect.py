"""`jaxnas inspect` of a segmentation config: its grid, and the size of its networks."""

import json
from pathlib import Path

from flax import linen as nn

from jaxnas.core.console import show, show_table
from jaxnas.data.named import config_labels
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.rundir import RunDir
from jaxnas.models.registry import LABEL_MODELS
from jaxnas.segmentation.deployment import two_level_network
from jaxnas.segmentation.networks import (
    build_segmentation_network,
    check_models,
    segmentation_cost,
)
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.genotype import Genotype, describe, load_genotype
from jaxnas.spaces.grid import union_cells
from jaxnas.spaces.rtdnas import TwoLevelSpace

_EXAMPLE = "example (no genotype given)"


def inspect_segmentation(
    config: SegmentationConfig, given: Path | None, target: Path, *, as_json: bool
) -> None:
    """Prints the grid and one row per network, as tables or as JSON; trains nothing."""
    check_models(config)
    space = two_level_space(config)
    genotype, origin = _chosen(space, config, given, target)
    rows = [
        {"model": name, **segmentation_cost(net, config.data.size).to_json()}
        for name, net in _networks(config, genotype).items()
    ]
    result = {
        "space": space.name,
        "size": list(config.data.size),
        "paths": space.grid.paths,
        "cells": len(space.grid.cells),
        "genotype_from": origin,
        "genotype": genotype.to_json(),
        "genotype_cells": len(union_cells(genotype.drawn_paths())),
        "networks": rows,
    }
    if as_json:
        show(json.dumps(result, indent=2))
        return
    show(
        f"space {space.name}: {space.grid.paths:,} paths over {len(space.grid.cells)} cells, image "
        f"{config.data.size[0]}×{config.data.size[1]}"
    )
    show(f"genotype from {origin}, {result['genotype_cells']} cells")
    show(describe(genotype))
    show_table(
        ["network", "params", "MACs"],
        [[r["model"], f"{r['params']:,}", f"{r['macs'] / 1e9:.3f} G"] for r in rows],
    )


def _networks(config: SegmentationConfig, genotype: Genotype) -> dict[str, nn.Module]:
    """The derived network, and all others that the config names but those still to be found."""
    found, space = {DERIVED: genotype}, two_level_space(config)
    for name, file in config.genotypes:
        if name in config.train.models:
            found[name] = space.check(load_genotype(file), where=file)
    return {name: two_level_network(config, g) for name, g in found.items()} | {
        name: build_segmentation_network(
            name, channels=config.network.unet_channels, classes=len(config_labels(config))
        )
        for name in config.train.models
        if name in LABEL_MODELS
    }


def _chosen(
    space: TwoLevelSpace, config: SegmentationConfig, given: Path | None, target: Path
) -> tuple[Genotype, str]:
    """The genotype asked for; else the run's or the config's; else an example."""
    own = RunDir(target).genotype.path
    source = given or (own if own.is_file() else config.genotype)
    if source is None:
        return space.example_genotype(), _EXAMPLE
    return space.check(load_genotype(source), where=str(source)), str(source)
