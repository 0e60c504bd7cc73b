"""`jaxnas inspect`: structure, parameters and MACs of a config's networks; trains nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxnas.core.config import load_config
from jaxnas.core.schema import Config, NetworkConfig
from jaxnas.models.costing import network_cost
from jaxnas.models.networks import DERIVED, build_network, check_names
from jaxnas.spaces.genotype import Genotype, describe, load_genotype
from jaxnas.spaces.supernet import example_genotype, fit_genotype, supernet

DEFAULT_SIZE = (320, 320)
EXAMPLE = "example (no genotype given): every node reads the cell's inputs, no skip"


def inspect(
    target: Path,
    *,
    overrides: Sequence[str],
    genotype: Path | None,
    supernet: bool,
    as_json: bool,
) -> None:
    """Prints one row per network, as a table or as JSON."""
    path = target / "config.yaml" if target.is_dir() else target
    config = load_config(path, overrides=overrides)
    chosen, origin = _chosen(config, genotype, target)
    result = describe_config(config, chosen, origin, whole=supernet)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    table = Table(*("network", "params", "MACs", "FLOPs (paper's convention)"))
    for row in result["networks"]:
        flops = f"{row['flops'] / 1e9:.2f} G to {row['flops_with_activations'] / 1e9:.2f} G"
        table.add_row(row["model"], f"{row['params']:,}", f"{row['macs'] / 1e9:.3f} G", flops)
    console = Console()
    console.print(f"space {config.network.space}, image {result['size'][0]}×{result['size'][1]}")
    console.print(
        f"genotype from {result['genotype_from']}\n{describe(chosen)}",
        soft_wrap=True,
        highlight=False,
    )
    console.print(table)


def describe_config(
    config: Config, genotype: Genotype, origin: str, *, whole: bool
) -> dict[str, Any]:
    """Sizes of every network of a config; `whole` describes the supernet instead."""
    size = config.data.crop or (
        config.data.synthetic.size if config.data.source == "synthetic" else DEFAULT_SIZE
    )
    nets = _networks(config.network, ("supernet",) if whole else config.train.models, genotype)
    rows = [{"model": name, **network_cost(net, size).to_json()} for name, net in nets.items()]
    shown = next((r for r in rows if r["model"] == DERIVED), rows[0])
    return {
        "space": config.network.space,
        "size": list(size),
        "params": shown["params"],
        "macs": shown["macs"],
        "genotype_from": origin,
        "genotype": genotype.to_json(),
        "networks": rows,
    }


def _networks(config: NetworkConfig, names: Sequence[str], genotype: Genotype) -> dict[str, Any]:
    if names == ("supernet",):
        return {"supernet": supernet(config)}
    check_names(names)
    return {name: build_network(name, config, genotype=genotype) for name in names}


def _chosen(config: Config, given: Path | None, target: Path) -> tuple[Genotype, str]:
    """The genotype asked for; else the run's or the config's if it fits; else an example."""
    if given is not None:
        return fit_genotype(config.network, load_genotype(given), where=str(given)), str(given)
    own = target / "genotype.json"
    source = own if own.is_file() else config.genotype
    if source is not None:
        return fit_genotype(config.network, load_genotype(source), where=str(source)), str(source)
    return example_genotype(config.network), EXAMPLE
