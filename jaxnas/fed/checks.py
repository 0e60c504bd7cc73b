"""Checks of the clients before a federated run begins; every error names the client."""

from collections.abc import Sequence

from jaxnas.core.errors import UserError
from jaxnas.data.source import SliceRef
from jaxnas.engine.acquire import check_masks
from jaxnas.fed.clients import Client
from jaxnas.fed.shares import named


def check_alike(clients: Sequence[Client]) -> None:
    """UserError unless all training slices have one shape, coil count and scale, and every mask
    can be drawn: the clients are computed together, with one network."""
    first = clients[0]
    reference = first.dataset.source.slices[first.dataset.slices("train")[0]]
    for client in clients:
        for i in client.dataset.slices("train"):
            ref = client.dataset.source.slices[i]
            if (ref.shape, ref.coils) != (reference.shape, reference.coils):
                raise UserError(
                    f"client {client.name!r}: volume {ref.volume!r} is {_kind(ref)}, but "
                    f"{reference.volume!r} of client {first.name!r} is {_kind(reference)}; "
                    f"expected one size and coil count everywhere, set data.crop, data.pad or "
                    f"data.coils"
                )
        if client.acquisition.peak != first.acquisition.peak:
            raise UserError(
                f"client {client.name!r}: acquisition.peak is {client.acquisition.peak:g}, client "
                f"{first.name!r} has {first.acquisition.peak:g}; expected one scale for the "
                f"network they share"
            )
        with named(f"client {client.name!r}"):
            check_masks(client.acquisition, client.dataset.sizes)


def check_sampled(clients: Sequence[Client]) -> None:
    """UserError for a client with a volume that has no truth to train for or to compare with."""
    for client in clients:
        with named(f"client {client.name!r}"):
            client.dataset.check_sampled()


def _kind(ref: SliceRef) -> str:
    coils = f"{ref.coils} coil{'s' if ref.coils > 1 else ''}"
    return f"{ref.shape[0]}×{ref.shape[1]} with {coils}"
