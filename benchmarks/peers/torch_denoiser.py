"""The denoisers of cells in PyTorch: the same mathematics as `jaxnas.spaces.denoiser`.

Written as a good PyTorch user would: one module per operation, depthwise convolutions by `groups`.
Parameters carry the names of the JAX tree, so that weights and gradients can be compared.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

SKIP = "skip_connect"
STANDARD = {"std_conv_3x3": 3, "std_conv_5x5": 5, "std_conv_7x7": 7}
SEPARABLE = {  # size, dilation
    "sep_conv_3x3": (3, 1),
    "sep_conv_5x5": (5, 1),
    "sep_conv_7x7": (7, 1),
    "dil_2_conv_3x3": (3, 2),
    "dil_3_conv_3x3": (3, 3),
}
Edges = Mapping[str, Sequence[str]]  # `edge<node>_<input>`: its operations
Weights = Mapping[tuple[str, str], torch.Tensor | float]  # (edge, operation)


def depthwise(channels: int, size: tuple[int, int], dilation: int = 1) -> nn.Conv2d:
    """A bias-free depthwise convolution that keeps the size of the image."""
    padding = tuple(dilation * (n // 2) for n in size)
    return nn.Conv2d(
        channels, channels, size, padding=padding, dilation=dilation, groups=channels, bias=False
    )


class Separable(nn.Module):
    """Depthwise, pointwise."""

    def __init__(self, channels: int, size: int, dilation: int):
        super().__init__()
        self.depthwise = depthwise(channels, (size, size), dilation)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class Strips(nn.Module):
    """9×1 and 1×9, both depthwise."""

    def __init__(self, channels: int):
        super().__init__()
        self.column, self.row = depthwise(channels, (9, 1)), depthwise(channels, (1, 9))

    def forward(self, x):
        return self.row(self.column(x))


def operation(name: str, channels: int) -> nn.Module:
    """One candidate behind its ReLU."""
    if name == "conv_9x1_1x9":
        return Strips(channels)
    if name in SEPARABLE:
        return Separable(channels, *SEPARABLE[name])
    size = STANDARD[name]
    return nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)


class Edge(nn.ModuleDict):
    """The weighted sum of an edge's operations; the skip has no ReLU."""

    def __init__(self, edge: str, channels: int, names: Sequence[str]):
        super().__init__({n: operation(n, channels) for n in names if n != SKIP})
        self.edge, self.skips = edge, SKIP in names

    def forward(self, x, weights: Weights):
        r = F.relu(x)
        total = sum(weights[self.edge, name] * op(r) for name, op in self.items())
        return total + weights[self.edge, SKIP] * x if self.skips else total


class SummedEdge(Edge):
    """The plain sum, as in a derived cell."""

    def forward(self, x, weights: None = None):
        r = F.relu(x) if len(self) else x
        parts = [op(r) for op in self.values()] + [x] * self.skips
        return functools.reduce(torch.add, parts)


class Cell(nn.Module):
    """Two 1×1 convolutions and a graph of edges; `edges` in the order of the nodes."""

    def __init__(self, before: int, last: int, channels: int, edges: Edges, kind: type[Edge]):
        super().__init__()
        self.pre0 = nn.ModuleDict({"conv": nn.Conv2d(before, channels, 1, bias=False)})
        self.pre1 = nn.ModuleDict({"conv": nn.Conv2d(last, channels, 1, bias=False)})
        self.nodes = nn.ModuleDict({e: kind(e, channels, names) for e, names in edges.items()})
        self.graph = graph_of(edges)

    def forward(self, before, last, weights):
        states = [self.pre0["conv"](F.relu(before)), self.pre1["conv"](F.relu(last))]
        for reads in self.graph:
            states.append(sum(self.nodes[edge](states[source], weights) for edge, source in reads))
        return torch.cat(states[2:], 1)


class Denoiser(nn.Module):
    """x + tail(cells(stems(x)))."""

    def __init__(self, channels: int, cells: int, edges: Edges, kind: type[Edge]):
        super().__init__()
        nodes = len(graph_of(edges))
        self.stem0 = nn.Conv2d(2, channels, 3, padding=1, bias=False)
        self.stem1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        widths = [channels, channels, *[nodes * channels] * cells]
        self.names = [f"cell{i}" for i in range(cells)]
        for i, name in enumerate(self.names):
            self.add_module(name, Cell(widths[i], widths[i + 1], channels, edges, kind))
        self.tail = nn.Conv2d(nodes * channels, 2, 3, padding=1, bias=False)

    def forward(self, x, weights: Weights | None = None):
        before = self.stem0(x)
        last = self.stem1(F.relu(before))
        for name in self.names:
            before, last = last, getattr(self, name)(before, last, weights)
        return x + self.tail(F.relu(last))


def graph_of(edges: Iterable[str]) -> list[list[tuple[str, int]]]:
    """The (edge, source) pairs that each node reads, from names `edge<node>_<input>`."""
    graph: list[list[tuple[str, int]]] = []
    for edge in edges:
        node, source = map(int, edge.removeprefix("edge").split("_"))
        graph.extend([] for _ in range(node + 1 - len(graph)))
        graph[node].append((edge, source))
    return graph


def mixed_edges(nodes: int, operations: Sequence[str]) -> dict[str, Sequence[str]]:
    """All edges of a supernet's cell, with all operations but `none`."""
    real = [name for name in operations if name != "none"]
    return {f"edge{i}_{j}": real for i in range(nodes) for j in range(i + 2)}


def edge_weights(alphas: torch.Tensor, nodes: int, operations: Sequence[str]) -> Weights:
    """Softmax over the operations of every edge."""
    table = torch.softmax(alphas, -1)
    rows = mixed_edges(nodes, operations)
    return {
        (edge, name): table[row, operations.index(name)]
        for row, edge in enumerate(rows)
        for name in rows[edge]
    }


def load(net: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets the parameters from JAX kernels by path; names and shapes must fit."""
    net.load_state_dict({weight_name(n): to_torch(n, x) for n, x in arrays.items()})


def to_torch(name: str, kernel: np.ndarray) -> torch.Tensor:
    """A JAX kernel (HWIO, depthwise HWC or pointwise IO) as a PyTorch weight."""
    return torch.from_numpy(np.ascontiguousarray(_oihw(name, kernel)))


def to_jax(name: str, weight: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_torch`, still a tensor; `name` in JAX's or in PyTorch's form."""
    kind = name.removesuffix(".weight").replace("/", ".").rsplit(".", 1)[-1]
    if kind in ("depthwise", "column", "row"):
        return weight[:, 0].permute(1, 2, 0)
    if kind == "pointwise":
        return weight[:, :, 0, 0].T
    return weight.permute(2, 3, 1, 0)


def weight_name(name: str) -> str:
    """`cell0/pre0/conv/kernel` → `cell0.pre0.conv.weight`."""
    return name.removesuffix("/kernel").replace("/", ".") + ".weight"


def jax_names(arrays: Iterable[str]) -> dict[str, str]:
    """PyTorch's name → JAX's, of the paths of kernels."""
    return {weight_name(name): name for name in arrays}


def _oihw(name: str, kernel: np.ndarray) -> np.ndarray:
    if name.rsplit("/", 1)[-1] in ("depthwise", "column", "row"):
        return kernel.transpose(2, 0, 1)[:, None]
    if name.endswith("pointwise"):
        return kernel.T[:, :, None, None]
    return kernel.transpose(3, 2, 0, 1)
