"""The whole reconstruction networks of a space: the supernet, and what is derived from it."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.core.registry import resolve
from jaxnas.mri.acquisition import Measurement
from jaxnas.ops.candidates import NetworkSize
from jaxnas.ops.costs import Rates, device_costs
from jaxnas.spaces.arrangement import arranged
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.space import CellSpace
from jaxnas.spaces.unrolled import Unrolled, unroll


class Supernet(nn.Module):
    """The unrolled network with mixed edges; its logits live in the collection `alphas`.

    The logits are declared here, once; all cells of all cascades share the softmaxed weights.
    """

    space: CellSpace
    unrolled: Unrolled

    @nn.compact
    def __call__(self, measurement: Measurement) -> jax.Array:
        """Returns the image, complex64 (B, H, W), in the measurement's scaled units."""
        alphas = {
            name: self.variable("alphas", name, self._initial, name).value
            for name in self.space.cells
        }
        return self.unrolled(measurement, self.space.relax(alphas))

    def _initial(self, name):
        return self.space.init_alphas(self.make_rng("params"))[name]


def space_of(config: NetworkConfig) -> CellSpace:
    """The space of a config, with its number of nodes."""
    return SPACES[config.space].bound(config.nodes)


def supernet(config: NetworkConfig, *, rates: Rates | None = None) -> Supernet:
    """The supernet of a config.

    `rates` are those of the device for the plan `auto`; None: built-in ones.
    """
    plan = config.plan
    if plan == "auto":
        plan = rates or device_costs(jax.default_backend()).training
    return Supernet(space_of(config), _unrolled(config, None, plan))


def derived_network(config: NetworkConfig, genotype: Genotype) -> Unrolled:
    """The network of a genotype; UserError if it does not fit the config's space and nodes."""
    config = fit_network(config, genotype)
    if config.edges == "sum":
        genotype = dataclasses.replace(genotype, weights=None)
    return _unrolled(config, genotype)


def derived_size(
    config: NetworkConfig, genotype: Genotype, *, where: str = "genotype"
) -> NetworkSize:
    """Parameters and multiply-accumulates a pixel of `derived_network`, by its kernels."""
    config = fit_network(config, genotype, where=where)
    net = _unrolled(config, genotype)
    own = net.denoiser(parent=None).size()
    copies = 1 if config.shared else config.cascades
    return NetworkSize(own.params * copies + config.learn_lam, own.macs * config.cascades)


def fit_genotype(config: NetworkConfig, genotype: Genotype, *, where: str = "genotype") -> Genotype:
    """Returns `genotype` if it belongs to the config's space, has its number of nodes, and is
    arranged as the space can be."""
    space_of(config).check(genotype, where=where)
    arranged(config, genotype, space_of(config).arranged, where=where)
    for cell, nodes in genotype.cells:
        if len(nodes) != config.nodes:
            raise UserError(
                f"{where}: cell {cell!r} has {len(nodes)} nodes, network.nodes is {config.nodes}; "
                f"set network.nodes={len(nodes)}"
            )
        several = any(len({source for _, source in node}) < len(node) for node in nodes)
        if config.edges == "weighted" and several and genotype.weights is None:
            raise UserError(
                f"{where}: network.edges is weighted, but the genotype has no weights; search "
                f"again or set network.edges=sum"
            )
    return genotype


def fit_network(
    config: NetworkConfig, genotype: Genotype, *, where: str = "genotype"
) -> NetworkConfig:
    """The section as a genotype arranges it; UserError where it does not fit."""
    fit_genotype(config, genotype, where=where)
    return arranged(config, genotype, space_of(config).arranged, where=where)


def example_genotype(config: NetworkConfig) -> Genotype:
    """A genotype that stands in where none was searched yet."""
    return space_of(config).example_genotype()


def _unrolled(
    config: NetworkConfig, genotype: Genotype | None, plan: str | Rates = "stack"
) -> Unrolled:
    space = space_of(config)
    own = {"use_bias": config.bias, "body": config.body} if "body" in space.arranged else {}
    denoiser = partial(
        resolve(space.denoiser),
        space,
        channels=config.channels,
        cells=config.cells,
        plan=plan,
        genotype=genotype,
        dtype=compute_dtype(config),
        remat=config.remat == "cells",
        **own,
    )
    return unroll(config, denoiser, shared=config.shared)


def compute_dtype(config: NetworkConfig) -> Any:
    """The dtype of the convolutions; parameters and data consistency stay float32."""
    return jnp.dtype(config.dtype)
