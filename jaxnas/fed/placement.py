"""The place where the clients of a round are computed: one device, or a mesh of several.

The client axis of everything that varies is cut along the mesh axis `clients`; what the server
sends is on every device. Several processes may own the devices; then all of them make the same
calls with the same arguments.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnas.core.errors import UserError

AXIS = "clients"


class Placement:
    """The mesh of `devices` devices, if it is more than one.

    UserError if there are not as many, or if several processes would leave some of theirs idle.

    Shardings: `everywhere` for what every device has, `spread` for stacks that are cut along their
    first axis; both None on one device.
    """

    def __init__(self, devices: int) -> None:
        found = jax.devices()
        if devices > len(found):
            raise UserError(
                f"federated.devices: {devices} devices asked for, found {len(found)} "
                f"({found[0].platform}); lower it, or on CPU set "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
            )
        if jax.process_count() > 1 and devices != len(found):
            raise UserError(
                f"federated.devices: {devices} devices asked for, but {jax.process_count()} "
                f"processes have {len(found)} together; expected all of them"
            )
        self.devices = devices
        # On one device nothing needs a mesh, nor a sharding.
        self.mesh = self.everywhere = self.spread = None
        if devices > 1:
            # Explicit axes, the default, would ask every operation of a network for its sharding.
            self.mesh = jax.make_mesh(
                (devices,), (AXIS,), axis_types=(AxisType.Auto,), devices=found[:devices]
            )
            self.everywhere = NamedSharding(self.mesh, P())
            self.spread = NamedSharding(self.mesh, P(AXIS))

    def stack(self, clients: int) -> Any:
        """The sharding of stacks of all clients: cut where the devices divide them."""
        return self.spread if clients % self.devices == 0 else self.everywhere

    def put(self, stacks: Any) -> Any:
        """NumPy stacks (k, ...) on the devices, cut along their first axis."""
        if (spread := self.spread) is None:
            return stacks  # compiled functions take them faster than `jax.device_put`

        def place(x: np.ndarray) -> jax.Array:
            return jax.make_array_from_callback(x.shape, spread, lambda index: x[index])

        return jax.tree.map(place, stacks)

    def jit(self, fn: Callable, *, out: Any, donate: tuple[int, ...] = ()) -> Callable:
        """`jax.jit`, partitioned automatically, with its results placed as `out` says."""
        if self.mesh is None:
            return jax.jit(fn, donate_argnums=donate)
        return jax.jit(fn, donate_argnums=donate, out_shardings=out)

    def split(self, fn: Callable) -> Callable:
        """`fn(*stacks, common)` of three trees of stacks, each device with its own clients of these
        and the whole of what is common.

        Our convolutions run the kernels of several clients in turn on CPU, a loop over the client
        axis that automatic partitioning could only serve by gathering all clients on all devices.
        """
        if self.mesh is None:
            return fn
        # With check_vma a gradient with respect to something that does not vary, such as weights
        # that all clients begin with, would silently be summed over the devices.
        return jax.shard_map(
            fn,
            mesh=self.mesh,
            in_specs=(P(AXIS), P(AXIS), P(AXIS), P()),
            out_specs=P(AXIS),
            check_vma=False,
        )
