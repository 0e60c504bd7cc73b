"""The division of data among clients, whatever they are: by a partition, or by name patterns."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.errors import UserError, naming
from jaxnas.fed.partition import (
    Partition,
    dirichlet_partition,
    even_partition,
    natural_partition,
)
from jaxnas.fed.section import PartitionConfig

POOLED = "all"  # the row of all clients together; no client may be called that


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
