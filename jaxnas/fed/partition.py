"""The division of data among clients, whatever they are: by a partition, or by name patterns.

A partition is disjoint, complete, and a function of (names, labels, seed). A client is a tuple of
volume names; no volume, hence no neighbouring slice, is at two clients.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError, naming
from jaxnas.fed.section import PartitionConfig

POOLED = "all"  # the row of all clients together; no client may be called that
Partition = dict[str, tuple[str, ...]]


class Share(NamedTuple):
    """The share of one client: `members` of the data at `origin`."""

    client: str
    origin: Hashable
    members: tuple[str, ...]


def divide(
    config: PartitionConfig,
    names: Sequence[str],
    labels: Callable[[str], Mapping[str, str]],
    *,
    seed: int,
    least: int,
) -> Partition:
    """The names divided as a config asks; `labels(by)` gives the label of every name.

    Where the config does not say otherwise no client has fewer than `least`.
    """
    if config.method == "even" and config.clients is not None:
        return even_partition(names, clients=config.clients, seed=seed, least=least)
    with naming("federated.partition.by"):
        found = labels(config.by)
    if config.clients is None:  # as it is where the method is natural, and only there
        return natural_partition(found)
    return dirichlet_partition(
        found,
        clients=config.clients,
        concentration=config.concentration,
        seed=seed,
        least=least,
    )


def matching(
    client: str, patterns: Sequence[str], names: Sequence[str], *, kind: str
) -> tuple[str, ...]:
    """The names that a client's patterns pick; `kind` is what they are names of."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"client {client!r}: pattern {pattern!r} matches none of the {len(names)} "
                f"{kind}s ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}); expected "
                f"at least one, correct its {kind}s"
            )
    return tuple(n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns))


def check_shares(shares: Sequence[Share], *, kind: str) -> None:
    """UserError for a client called like all of them, one without data, and data at two clients.

    `kind` is what a member is.
    """
    owners: dict[tuple, str] = {}
    for share in shares:
        if share.client == POOLED:
            raise UserError(
                f"client {POOLED!r}: that name stands for all clients together; choose another"
            )
        if not share.members:
            raise UserError(
                f"client {share.client!r}: has no {kind}; expected at least one, list some in its "
                f"{kind}s or leave that key out"
            )
        for member in share.members:
            owner = owners.setdefault((share.origin, member), share.client)
            if owner != share.client:
                raise UserError(
                    f"client {share.client!r}: {kind} {member!r} is at client {owner!r} already; "
                    f"expected every {kind} at one client, make their {kind}s exclusive"
                )


def stored_at(path: str | Sequence[str] | None) -> tuple[str, ...]:
    """The paths at which data are stored, the same however they are written."""
    paths = (path,) if isinstance(path, str) else path or ()
    return tuple(sorted(str(Path(own).resolve()) for own in paths))


def natural_partition(labels: Mapping[str, str]) -> Partition:
    """One client per label of `labels` {volume: label}, called after it.

    What cannot stand in a file name becomes a dash; two labels that then agree raise UserError.
    """
    found: dict[str, list[str]] = {}
    origin: dict[str, str] = {}
    for volume, label in sorted(labels.items()):
        name = _client_name(label)
        if origin.setdefault(name, label) != label:
            raise UserError(
                f"federated.partition: labels {origin[name]!r} and {label!r} would both be called "
                f"{name!r}; rename one, or list the clients"
            )
        found.setdefault(name, []).append(volume)
    return {name: tuple(found[name]) for name in sorted(found)}


def dirichlet_partition(
    labels: Mapping[str, str], *, clients: int, concentration: float, seed: int, least: int = 1
) -> Partition:
    """The volumes of every label spread over `clients` by proportions p ~ Dir(concentration).

    p is drawn anew for every label: E[p] = 1/clients, and a large concentration gives every client
    the same mixture of labels, a small one every label to one client. Shares are rounded so that
    none is lost. A client that drew fewer than `least` volumes takes what it lacks from the client
    that has most, so none is empty; UserError if there are not enough volumes for that.
    """
    _check_enough(len(labels), clients, least)
    rng = np.random.default_rng(seed)
    shares: list[list[str]] = [[] for _ in range(clients)]
    for label in sorted(set(labels.values())):
        volumes = rng.permutation(sorted(v for v, own in labels.items() if own == label))
        proportions = rng.dirichlet(np.full(clients, concentration))
        ends = np.rint(np.cumsum(proportions) * len(volumes)).astype(int)
        # In a random order of clients, or rounding would always favour the same ones.
        for client, part in zip(rng.permutation(clients), np.split(volumes, ends[:-1])):
            shares[client] += part.tolist()
    return _named(_filled_up(shares, least))


def even_partition(volumes: Iterable[str], *, clients: int, seed: int, least: int = 1) -> Partition:
    """All volumes dealt out at random: client sizes differ by one at most.

    UserError if that leaves a client with fewer than `least`.
    """
    volumes = sorted(set(volumes))
    _check_enough(len(volumes), clients, least)
    order = np.random.default_rng(seed).permutation(volumes)
    return _named([part.tolist() for part in np.array_split(order, clients)])


def _client_name(label: str) -> str:
    """A label as a `Name` of the config: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", label).lstrip("_.-") or "unnamed"


def _named(shares: list[list[str]]) -> Partition:
    """Clients 0, 1, ... with their volumes sorted; names of one width, so that they sort."""
    width = len(str(len(shares) - 1))
    return {f"client{i:0{width}d}": tuple(sorted(share)) for i, share in enumerate(shares)}


def _filled_up(shares: list[list[str]], least: int) -> list[list[str]]:
    """`shares` after every client with fewer than `least` volumes was given some."""
    while len(poorest := min(shares, key=len)) < least:
        poorest.append(max(shares, key=len).pop())
    return shares


def _check_enough(volumes: int, clients: int, least: int) -> None:
    if volumes < clients * least:
        raise UserError(
            f"federated.partition: {volumes} volumes for {clients} clients; expected at least "
            f"{clients * least}, {least} for each, lower federated.partition.clients or add volumes"
        )
