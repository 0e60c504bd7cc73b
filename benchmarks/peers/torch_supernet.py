"""The supernet denoiser of NAS-CSMRI in PyTorch: the same mathematics as `jaxnas.spaces.denoiser`.

Written as a good PyTorch user would: one module per operation, eager mode, depthwise convolutions
by `groups`, memory format by choice. Parameters carry the names of the JAX tree.

    python -m benchmarks.peers.torch_supernet channels_last problem.npz
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.timing import serve


class Operation(nn.Module):
    """ReLU, depthwise 3 x 3, pointwise; bias-free."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        return self.pointwise(self.depthwise(F.relu(x)))


class Edge(nn.ModuleDict):
    """The mixed edge of space A: three separable convolutions, skip and none."""

    def __init__(self, channels: int):
        dilations = {"sep_conv_3x3": 1, "dil_2_conv_3x3": 2, "dil_3_conv_3x3": 3}
        super().__init__({name: Operation(channels, d) for name, d in dilations.items()})

    def forward(self, x, weights):
        return sum(w * op(x) for w, op in zip(weights, self.values())) + weights[3] * x


class Cell(nn.Module):
    """Two 1 x 1 convolutions and a full graph of mixed edges."""

    def __init__(self, before: int, last: int, channels: int, nodes: int):
        super().__init__()
        self.pre0 = nn.ModuleDict({"conv": nn.Conv2d(before, channels, 1, bias=False)})
        self.pre1 = nn.ModuleDict({"conv": nn.Conv2d(last, channels, 1, bias=False)})
        self.order = [(i, j) for i in range(nodes) for j in range(i + 2)]
        self.nodes = nn.ModuleDict({f"edge{i}_{j}": Edge(channels) for i, j in self.order})

    def forward(self, before, last, weights):
        states = [self.pre0["conv"](F.relu(before)), self.pre1["conv"](F.relu(last))]
        for node in range(max(i for i, _ in self.order) + 1):
            reads = [(e, j) for e, (i, j) in enumerate(self.order) if i == node]
            states.append(
                sum(self.nodes[f"edge{node}_{j}"](states[j], weights[e]) for e, j in reads)
            )
        return torch.cat(states[2:], 1)


class Denoiser(nn.Module):
    """x + tail(cells(stems(x)))."""

    def __init__(self, channels: int, cells: int, nodes: int):
        super().__init__()
        self.stem0 = nn.Conv2d(2, channels, 3, padding=1, bias=False)
        self.stem1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        widths = [channels, channels, *[nodes * channels] * cells]
        self.names = [f"cell{i}" for i in range(cells)]
        for i, name in enumerate(self.names):
            self.add_module(name, Cell(widths[i], widths[i + 1], channels, nodes))
        self.tail = nn.Conv2d(nodes * channels, 2, 3, padding=1, bias=False)

    def forward(self, x, weights):
        before = self.stem0(x)
        last = self.stem1(F.relu(before))
        for name in self.names:
            before, last = last, getattr(self, name)(before, last, weights)
        return x + self.tail(F.relu(last))


def to_torch(name: str, kernel: np.ndarray) -> torch.Tensor:
    """A JAX kernel (HWIO, depthwise HWC or pointwise IO) as a PyTorch weight."""
    if name.endswith("depthwise"):
        kernel = kernel.transpose(2, 0, 1)[:, None]
    elif name.endswith("pointwise"):
        kernel = kernel.T[:, :, None, None]
    else:
        kernel = kernel.transpose(3, 2, 0, 1)
    return torch.from_numpy(kernel.copy())


def weight_name(name: str) -> str:
    """`cell0/pre0/conv/kernel` → `cell0.pre0.conv.weight`."""
    return name.removesuffix("/kernel").replace("/", ".") + ".weight"


def prepare(memory_format: torch.memory_format, problem: dict[str, np.ndarray]):
    """One bilevel step, and how far its gradients are from the problem's."""
    setting = [int(n) for n in problem["setting"]]  # channels, cells, nodes
    kernels = {n.removeprefix("params/"): v for n, v in problem.items() if n.startswith("params/")}
    net = Denoiser(*setting)
    net.load_state_dict({weight_name(n): to_torch(n, v) for n, v in kernels.items()})
    net.to(memory_format=memory_format)
    alphas = torch.from_numpy(problem["alphas"].copy()).requires_grad_()
    params = list(net.parameters())
    images = {
        name: torch.from_numpy(problem[name])
        .permute(0, 3, 1, 2)
        .contiguous(memory_format=memory_format)
        for name in ("x_train", "y_train", "x_valid", "y_valid")
    }

    def loss(split):
        y = net(images[f"x_{split}"], torch.softmax(alphas, -1))
        return F.mse_loss(y, images[f"y_{split}"])

    errors = []
    for name, kernel in net.named_parameters():
        kernel.grad = None
        expected = problem["grad/" + jax_name(name, kernels)]
        errors.append((kernel, to_torch(jax_name(name, kernels), expected)))
    gradients = torch.autograd.grad(loss("train"), [alphas, *(k for k, _ in errors)])
    expected = [torch.from_numpy(problem["grad_alphas"]), *(e for _, e in errors)]
    gap = max(float((g - e).abs().max() / e.abs().max()) for g, e in zip(gradients, expected))

    a_tx = torch.optim.Adam([alphas], lr=3e-3)
    w_tx = torch.optim.Adam(params, lr=1e-3)

    def step():
        (alphas.grad,) = torch.autograd.grad(loss("valid"), [alphas])
        a_tx.step()
        for p, g in zip(params, torch.autograd.grad(loss("train"), params)):
            p.grad = g
        w_tx.step()

    return step, {"gradient_gap": gap, "version": torch.__version__}


def jax_name(name: str, kernels: dict[str, np.ndarray]) -> str:
    """The inverse of `weight_name` among the known names."""
    return next(n for n in kernels if weight_name(n) == name)


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    layout = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format}[sys.argv[1]]
    serve(lambda: prepare(layout, dict(np.load(sys.argv[2]))))
