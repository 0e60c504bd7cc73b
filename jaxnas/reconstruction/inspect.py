"""`jaxnas inspect`: structure, parameters and MACs of a config's networks, and what its clients
would send."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jaxnas.core.console import show, show_table
from jaxnas.engine.networks import DERIVED, model_names, models_key
from jaxnas.engine.rundir import RunDir
from jaxnas.fed.training import abstract_model, round_traffic
from jaxnas.models.costing import network_cost
from jaxnas.ops.costs import device_costs
from jaxnas.reconstruction.candidates import UnrolledCandidates
from jaxnas.reconstruction.networks import build_network, check_names
from jaxnas.reconstruction.section import FederatedConfig, ReconstructionConfig
from jaxnas.reconstruction.task import proxy, reconstruction_task
from jaxnas.search.pool import fits
from jaxnas.search.section import SelectConfig
from jaxnas.spaces.arrangement import arrangements, rearranged
from jaxnas.spaces.deploy import deployed
from jaxnas.spaces.genotype import Genotype, describe, load_genotype
from jaxnas.spaces.supernet import example_genotype, fit_genotype, supernet

DEFAULT_SIZE = (320, 320)
SUPERNET = "supernet"
CLIENT_COLUMNS = ("strategy", "sent per round", "received per round")
SELECTION = (
    "selection among {genotypes:,} genotypes in {arrangements:,} arrangements, about "
    "{least_macs:,} to {most_macs:,} MACs, {percent_within} % of them within the budget"
)
_DRAWN = 20  # networks that costs are looked at of
_EXAMPLE = "example (no genotype given)"


def inspect_config(
    config: ReconstructionConfig, genotype: Path | None, target: Path, *, whole: bool, as_json: bool
) -> None:
    """Prints one row per network, as a table or as JSON; `whole` describes the supernet instead."""
    chosen, origin = _chosen(config, genotype, target)
    result = describe_config(config, chosen, origin, whole=whole)
    if as_json:
        show(json.dumps(result, indent=2))
        return
    show(f"space {config.network.space}, image {result['size'][0]}×{result['size'][1]}")
    show(f"genotype from {result['genotype_from']}")
    show(describe(chosen))
    if result["selection"] is not None:
        show(SELECTION.format(**result["selection"]))
    _show_networks(result["networks"])
    for name, cost in _deployed(result["networks"]).items():
        show(f"deployed {name}: {cost}")


def describe_config(
    config: ReconstructionConfig, genotype: Genotype, origin: str, *, whole: bool
) -> dict[str, Any]:
    """Sizes of every network of a config; `whole` describes the supernet instead."""
    size = _size(config)
    nets = _networks(config, genotype, whole=whole)
    rows = [_row(name, net, size) for name, net in nets.items()]
    if config.federated is not None:
        rows = _across_clients(config, config.federated, nets, {row["model"]: row for row in rows})
    shown = next((r for r in rows if r["model"] == DERIVED), rows[0])
    return {
        "space": config.network.space,
        "size": list(size),
        "params": shown["params"],
        "macs": shown["macs"],
        "genotype_from": origin,
        "genotype": genotype.to_json(),
        "selection": config.select and _describe_selection(config, config.select, size),
        "networks": rows,
    }


def _describe_selection(
    config: ReconstructionConfig, asked: SelectConfig, size: tuple[int, int]
) -> dict[str, float]:
    """The numbers of genotypes and arrangements to choose from, and the MACs of networks of each:
    those of the space's example, of its hand-made networks and of some drawn at random."""
    source, rng = UnrolledCandidates(config, size), np.random.default_rng(0)
    cells = [source.space.example_genotype(), *source.hand_made().values()]
    cells += [source.random(rng) for _ in range(_DRAWN)]
    choices = arrangements(dict(asked.arrangement))
    costs = [source.cost(rearranged(g, dict(choice))) for g in cells for choice in choices]
    macs = [cost["macs"] for cost in costs]
    within = sum(fits(cost, asked.budget) for cost in costs)
    return {
        "genotypes": source.space.count(),
        "arrangements": len(choices),
        "least_macs": min(macs),
        "most_macs": max(macs),
        "percent_within": round(100 * within / len(costs)),
    }


def _row(name: str, net: nn.Module, size: tuple[int, int]) -> dict[str, Any]:
    """The sizes of a network, and of its deployed form on this device where that is another."""
    row = {"model": name, **network_cost(net, size).to_json()}
    small = deployed(net, prices=device_costs(jax.default_backend()).deployment)
    if small is not net:
        cost = network_cost(small, size)
        row["deployed"] = {"params": cost.params, "macs": cost.cost.macs}
    return row


def _size(config: ReconstructionConfig) -> tuple[int, int]:
    """The image size, where the data section knows it: that of the first client with its own."""
    clients = config.federated.clients if config.federated else ()
    data = next((client.data for client in clients if client.data), config.data)
    return data.crop or (data.synthetic.size if data.source == "synthetic" else DEFAULT_SIZE)


def _networks(
    config: ReconstructionConfig, genotype: Genotype, *, whole: bool
) -> dict[str, nn.Module]:
    if whole:
        return {SUPERNET: supernet(config.network)}
    names = model_names(config)
    check_names(names, where=models_key(config))
    return {name: build_network(name, config.network, genotype=genotype) for name in names}


def _across_clients(
    config: ReconstructionConfig,
    federated: FederatedConfig,
    nets: Mapping[str, nn.Module],
    costs: Mapping[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """One row per method, with the bytes that a client sends and receives in a round.

    What comes down is None where it depends on a number of clients that only the data know.
    """
    task, clients = reconstruction_task(config), len(federated.clients)
    if federated.partition is not None:
        clients = federated.partition.clients
    if SUPERNET in nets:
        # A search may send a smaller network than the one described.
        model, strategy = abstract_model(task, supernet(proxy(config))), federated.search_strategy
        found = [(costs[SUPERNET], round_traffic(strategy, model, clients=clients or 1))]
    else:
        models = {name: abstract_model(task, net) for name, net in nets.items()}
        found = [
            (
                costs[method.model] | {"strategy": method.label},
                round_traffic(method, models[method.model], clients=clients or 1),
            )
            for method in federated.methods
        ]
    return [
        row | {"up": t.up, "down": t.down if clients or t.up == t.down else None}
        for row, t in found
    ]


def _show_networks(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the rows for a person; columns about clients only where there are some."""
    columns = {
        "network": lambda row: row["model"],
        "strategy": lambda row: row.get("strategy", ""),
        "params": lambda row: f"{row['params']:,}",
        "MACs": lambda row: f"{row['macs'] / 1e9:.3f} G",
        "FLOPs (paper's convention)": lambda row: (
            f"{row['flops'] / 1e9:.2f} G to {row['flops_with_activations'] / 1e9:.2f} G"
        ),
        "sent per round": lambda row: _bytes(row["up"]),
        "received per round": lambda row: _bytes(row["down"]),
    }
    if "up" not in rows[0]:
        columns = {name: columns[name] for name in columns if name not in CLIENT_COLUMNS}
    show_table([*columns], [[cell(row) for cell in columns.values()] for row in rows])


def _deployed(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The cost of networks in their deployed form, by name, where that is another."""
    found = {row["model"]: row["deployed"] for row in rows if "deployed" in row}
    return {
        name: f"{cost['params']:,} parameters, {cost['macs'] / 1e9:.3f} G MACs"
        for name, cost in found.items()
    }


def _bytes(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e6:,.3f} MB"


def _chosen(config: ReconstructionConfig, given: Path | None, target: Path) -> tuple[Genotype, str]:
    """The genotype asked for; else the run's or the config's if it fits; else an example."""
    if given is not None:
        return fit_genotype(config.network, load_genotype(given), where=str(given)), str(given)
    own = RunDir(target).genotype.path
    source = own if own.is_file() else config.genotype
    if source is not None:
        return fit_genotype(config.network, load_genotype(source), where=str(source)), str(source)
    return example_genotype(config.network), _EXAMPLE
