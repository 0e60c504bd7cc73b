"""The supernet of RT-DNAS in PyTorch, on the live cells of the grid.

It is written as one would write it in PyTorch: cell by cell, edge by edge, operation by
operation, each with weights of its own; dead cells do not exist. `torch_grouped` instead runs all
edges that leave the same tensors as groups of channels of one convolution, as jaxnas does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CHAINS = {  # size, dilation, separable: the layers of an operation
    "sep_conv_3x3": [(3, 1, True), (3, 1, True)],
    "sep_conv_5x5": [(5, 1, True), (5, 1, True)],
    "dil_conv_3x3": [(3, 2, True)],
    "dil_conv_5x5": [(5, 2, True)],
    "conv_3x3": [(3, 1, False)],
}
SKIP = "skip_connect"
CELLS = ("expand", "keep", "contract")  # by direction
EPSILON = 1e-5
Kernels = Mapping[str, torch.Tensor]


def kernel_of(name: str, kernel: np.ndarray) -> np.ndarray:
    """A JAX kernel as a PyTorch weight: depthwise (k, k, C), others (k, k, I, O)."""
    if "depthwise" in name:
        return kernel.transpose(2, 0, 1)[:, None]
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel


def array_of(name: str, weight: np.ndarray) -> np.ndarray:
    """The inverse of `kernel_of`."""
    if "depthwise" in name:
        return weight[:, 0].transpose(1, 2, 0)
    return weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight


def conv(x: torch.Tensor, weight: torch.Tensor, *, dilation: int = 1, groups: int = 1, stride=1):
    """A convolution that keeps the size, or takes every `stride`-th pixel of it."""
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def batch_norm(x: torch.Tensor) -> torch.Tensor:
    """Normalises by the statistics of the batch, without parameters."""
    return F.batch_norm(x, None, None, training=True, eps=EPSILON)


def chain(x, name: str, kernels: Kernels, prefix: str, edges: int, sources: int):
    """An operation without parameters of normalisation, on `edges` edges side by side."""
    for index, (_, dilation, separable) in enumerate(CHAINS[name]):
        r = F.relu(x)
        groups = sources if index == 0 else edges
        if not separable:
            x = conv(r, kernels[f"{prefix}kernel{index}"], groups=groups)
        else:
            if index == 0:
                r = for_each_edge(r, edges, sources)
            taps = kernels[f"{prefix}depthwise{index}"]
            r = conv(r, taps, dilation=dilation, groups=taps.shape[0])
            x = conv(r, kernels[f"{prefix}pointwise{index}"], groups=edges)
        x = batch_norm(x)
    return x


def for_each_edge(x: torch.Tensor, edges: int, sources: int) -> torch.Tensor:
    """Repeats every source for the edges that leave it."""
    if edges == sources:
        return x
    return x.unflatten(1, (sources, -1)).repeat_interleave(edges // sources, 1).flatten(1, 2)


def shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Interleaves `groups` blocks of channels."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def scaling(x: torch.Tensor, cell: str, weight: torch.Tensor, norm) -> torch.Tensor:
    """The end of a cell: ReLU, 1×1, normalisation, and the change of scale."""
    if cell == "contract":
        x = F.max_pool2d(x, 2)
    x = norm(conv(F.relu(x), weight))
    return double(x) if cell == "expand" else x


def double(x: torch.Tensor) -> torch.Tensor:
    """Bilinear, half-pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Supernet(nn.Module):
    """The mixed network on images (B, 1, H, W) with stem stride 2, paths that end at scale 0.

    `kernels` are the JAX arrays by path, those of the layers stacked on their first axis; `live`
    lists (layer, scale, direction). Edge by edge a weight is `layer/scale/cell/from…/…`.
    """

    def __init__(self, kernels, live, operations, *, nodes: int, partial: int, grouped: bool):
        super().__init__()
        self.live, self.operations = live, operations
        self.nodes, self.partial, self.grouped = nodes, partial, grouped
        self.shapes = {name: x.shape for name, x in kernels.items()}
        self.pieces: dict[str, tuple[str, int | None, Any]] = {}
        self.weights = nn.ParameterDict()
        for name, x in kernels.items():
            if not name.startswith("layers/"):
                self._add(name, name, x, None)
        for layer, scale in sorted({(l, s) for l, s, _ in live}):
            self._add_tile(kernels, layer, scale)

    def forward(self, image, tables, betas):
        """Logits (B, K, H, W); tables {cell: (edges, operations)}, betas (L, D, 3)."""
        w = self.weights
        x = F.relu(batch_norm(conv(image, w["stem/kernel"], stride=2)))
        tiles = {0: F.relu(batch_norm(conv(x, w["stem/conv/kernel"])))}
        for layer in range(1 + max(l for l, _, _ in self.live)):
            after: dict[int, torch.Tensor] = {}
            for scale, x in tiles.items():
                leaving = [d for l, s, d in self.live if (l, s) == (layer, scale)]
                for direction, y in zip(leaving, self._tile(layer, scale, leaving, x, tables)):
                    target, y = scale + direction - 1, betas[layer, scale, direction] * y
                    after[target] = after[target] + y if target in after else y
            tiles = after
        logits = F.conv2d(tiles[0], w["head0/conv/kernel"], w["head0/conv/bias"])
        return double(logits)

    def gradients(self, found) -> dict[str, np.ndarray]:
        """Gradients in the order of the parameters as the JAX arrays, zero for dead cells."""
        arrays = {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}
        for (key, _), gradient in zip(self.weights.items(), found):
            name, layer, part = self.pieces[key]
            value = array_of(name, gradient.cpu().numpy())
            if layer is None:
                arrays[name] = value
            else:
                arrays[name][layer][..., part] = value
        return arrays

    def _tile(self, layer, scale, leaving, x, tables):
        """The outputs of the cells of a tile."""
        cells = [CELLS[d] for d in leaving]
        mix = self._grouped_nodes if self.grouped else self._nodes
        joined = mix(f"{layer}/{scale}/", cells, x, tables)
        return [
            scaling(y, cell, self.weights[f"{layer}/{scale}/scale_{cell}/conv/kernel"], batch_norm)
            for cell, y in zip(cells, joined)
        ]

    def _nodes(self, prefix, cells, x, tables):
        """The joined nodes of every cell, edge by edge."""
        joined = []
        for cell in cells:
            states = [x]
            for node in range(self.nodes):
                mixed, passed = 0, 0
                for source in range(node + 1):
                    shares = tables[cell][node * (node + 1) // 2 + source]
                    part, rest = self._split(states[source])
                    passed = passed + shares.sum() * rest
                    for share, name in zip(shares, self.operations):
                        own = f"{prefix}{cell}{node}from{source}_{name}/"
                        y = part if name == SKIP else chain(part, name, self.weights, own, 1, 1)
                        mixed = mixed + share * y
                states.append(shuffle(torch.cat([mixed, passed], 1), self.partial))
            joined.append(torch.cat(states[1:], 1))
        return joined

    def _grouped_nodes(self, prefix, cells, x, tables):
        """The same, all edges that leave the same tensors as groups of channels."""
        count, states = len(cells), [x[:, None]]
        mixed, passed = [0] * self.nodes, [0] * self.nodes
        for source in range(self.nodes):
            part, rest = self._split(states[source].transpose(1, 2))
            part, rest = part.transpose(1, 2), rest.transpose(1, 2)
            nodes = range(source, self.nodes)
            rows = [node * (node + 1) // 2 + source for node in nodes]
            shares = torch.stack([tables[cell][rows] for cell in cells])  # (cells, targets, ops)
            total, sources, edges = 0, part.shape[1], count * len(rows)
            for index, name in enumerate(self.operations):
                own = f"{prefix}from{source}_{name}/"
                flat = part.flatten(1, 2)
                if name == SKIP:
                    y = for_each_edge(flat, edges, sources)
                else:
                    y = chain(flat, name, self.weights, own, edges, sources)
                y = y.unflatten(1, (count, len(rows), -1))
                total = total + shares[:, :, index, None, None, None] * y
            for column, node in enumerate(nodes):
                mixed[node] = mixed[node] + total[:, :, column]
                passed[node] = passed[node] + shares[:, column].sum(-1)[:, None, None, None] * rest
            state = torch.cat([mixed[source], passed[source]], 2)
            states.append(shuffle(state.flatten(0, 1), self.partial).unflatten(0, state.shape[:2]))
        return [torch.cat([s[:, i] for s in states[1:]], 1) for i in range(count)]

    def _split(self, x):
        """The channels that go through the operations, and the others."""
        part = x.shape[1] // self.partial
        return x[:, :part], x[:, part:]

    def _add_tile(self, kernels, layer, scale):
        """The weights of the cells that leave a tile."""
        start = f"layers/scale{scale}/"
        known = [cell for cell in CELLS if f"{start}scale_{cell}/conv/kernel" in kernels]
        cells = [CELLS[d] for l, s, d in self.live if (l, s) == (layer, scale)]
        for cell in cells:
            name = f"{start}scale_{cell}/conv/kernel"
            self._add(f"{layer}/{scale}/scale_{cell}/conv/kernel", name, kernels[name], layer)
        for name in (n for n in kernels if n.startswith(f"{start}from")):
            rest, x = name.removeprefix(start), kernels[name]
            source = int(rest.removeprefix("from").split("_")[0])
            targets = self.nodes - source
            groups = np.arange(x.shape[-1]).reshape(len(known), targets, -1)
            own = [known.index(cell) for cell in cells]
            if self.grouped:
                self._add(f"{layer}/{scale}/{rest}", name, x, layer, groups[own].ravel())
                continue
            for cell, place in zip(cells, own):
                for column in range(targets):
                    key = f"{layer}/{scale}/{cell}{source + column}{rest}"
                    self._add(key, name, x, layer, groups[place, column])

    def _add(self, key, name, x, layer, part=slice(None)):
        """A weight: some of the last axis of an array, of one layer or of an array without."""
        own = x if layer is None else x[layer][..., part]
        self.pieces[key] = (name, layer, part)
        self.weights[key] = nn.Parameter(torch.from_numpy(kernel_of(name, own).copy()))
