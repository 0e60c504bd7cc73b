"""A federated round in PyTorch: the same networks, client by client, as a good user writes it.

Eager mode, channels_last, one module per operation, Adam made anew for every client and round, and
the mean of the state dicts. Parameters carry the names of the JAX tree.

    python -m benchmarks.peers.torch_fed_round problem.npz
"""

import json
import os
import statistics
import sys
import timeit

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.bench_fed_round import RATES, round_gap
from benchmarks.peers.torch_supernet import jax_name, to_torch, weight_name
from benchmarks.timing import serve

NODES = 3
STANDARD = {"std_conv_3x3": 3, "std_conv_5x5": 5, "std_conv_7x7": 7}
SEPARABLE = {  # size, dilation
    "dil_2_conv_3x3": (3, 2),
    "dil_3_conv_3x3": (3, 3),
    "sep_conv_3x3": (3, 1),
    "sep_conv_5x5": (5, 1),
    "sep_conv_7x7": (7, 1),
}
OPERATIONS = (*STANDARD, *SEPARABLE)


class Separable(nn.Module):
    """Depthwise, pointwise; bias-free."""

    def __init__(self, channels: int, size: int, dilation: int):
        super().__init__()
        padding = dilation * (size // 2)
        self.depthwise = nn.Conv2d(
            channels,
            channels,
            size,
            padding=padding,
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


def operation(name: str, channels: int) -> nn.Module:
    """One candidate behind its ReLU."""
    if name in SEPARABLE:
        return Separable(channels, *SEPARABLE[name])
    size = STANDARD[name]
    return nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)


class Cell(nn.Module):
    """Two 1 x 1 convolutions and a full graph of edges, each the sum of its operations."""

    def __init__(self, before: int, last: int, channels: int, picks: dict[str, list[str]]):
        super().__init__()
        self.pre0 = nn.ModuleDict({"conv": nn.Conv2d(before, channels, 1, bias=False)})
        self.pre1 = nn.ModuleDict({"conv": nn.Conv2d(last, channels, 1, bias=False)})
        self.nodes = nn.ModuleDict(
            {
                edge: nn.ModuleDict({name: operation(name, channels) for name in names})
                for edge, names in picks.items()
            }
        )

    def forward(self, before, last, weights):
        states = [self.pre0["conv"](F.relu(before)), self.pre1["conv"](F.relu(last))]
        for node in range(NODES):
            total = 0.0
            for source in range(node + 2):
                name, r = f"edge{node}_{source}", F.relu(states[source])
                for key, op in self.nodes[name].items():
                    y = op(r)
                    total = total + (y if weights is None else weights[name, key] * y)
            states.append(total)
        return torch.cat(states[2:], 1)


class Denoiser(nn.Module):
    """x + tail(cells(stems(x)))."""

    def __init__(self, channels: int, cells: int, picks: dict[str, list[str]]):
        super().__init__()
        self.stem0 = nn.Conv2d(2, channels, 3, padding=1, bias=False)
        self.stem1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        widths = [channels, channels, *[NODES * channels] * cells]
        self.names = [f"cell{i}" for i in range(cells)]
        for i, name in enumerate(self.names):
            self.add_module(name, Cell(widths[i], widths[i + 1], channels, picks))
        self.tail = nn.Conv2d(NODES * channels, 2, 3, padding=1, bias=False)

    def forward(self, x, weights=None):
        before = self.stem0(x)
        last = self.stem1(F.relu(before))
        for name in self.names:
            before, last = last, getattr(self, name)(before, last, weights)
        return x + self.tail(F.relu(last))


def edges_of(names: list[str]) -> dict[str, list[str]]:
    """The operations on every edge, from the names of the parameters of the first cell."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        if parts[:2] == ["cell0", "nodes"] and parts[3] not in found.setdefault(parts[2], []):
            found[parts[2]].append(parts[3])
    return found


def edge_weights(alphas: torch.Tensor) -> dict[tuple[str, str], torch.Tensor]:
    """Softmax over the operations of every edge, by edge and operation."""
    table = torch.softmax(alphas, -1)
    rows = [f"edge{node}_{source}" for node in range(NODES) for source in range(node + 2)]
    return {
        (edge, name): table[row, column]
        for row, edge in enumerate(rows)
        for column, name in enumerate(OPERATIONS)
    }


def prepare(problem: dict[str, np.ndarray]):
    """One round, and how far its first result is from the problem's."""
    setting = json.loads(str(problem["setting"]))
    kernels = {n.removeprefix("params/"): v for n, v in problem.items() if n.startswith("params/")}
    net = Denoiser(setting["channels"], setting["cells"], edges_of(list(kernels)))
    net.to(memory_format=torch.channels_last)
    server = {weight_name(n): to_torch(n, v) for n, v in kernels.items()}
    searching = setting["workload"] == "search"
    alphas = torch.from_numpy(problem["alphas"].copy())
    images = {
        name: torch.from_numpy(problem[name]).movedim(-1, -3).contiguous()
        for name in ("x_train", "y_train", "x_valid", "y_valid")
    }

    def loss(half, client, step, logits):
        x = images[f"x_{half}"][client, step].contiguous(memory_format=torch.channels_last)
        y = net(x, edge_weights(logits)) if searching else net(x)
        return F.mse_loss(y, images[f"y_{half}"][client, step])

    def local(client):
        net.load_state_dict(server)
        logits = alphas.clone().requires_grad_()
        params = list(net.parameters())
        w_tx = torch.optim.Adam(params, lr=RATES["weights"])
        a_tx = torch.optim.Adam([logits], lr=RATES["alphas"])
        for step in range(setting["steps"]):
            if searching:
                total = loss("train", client, step, logits) + loss("valid", client, step, logits)
                (logits.grad,) = torch.autograd.grad(total, [logits])
                a_tx.step()
            gradients = torch.autograd.grad(
                loss("train", client, step, logits), params, allow_unused=True
            )
            for p, g in zip(params, gradients):
                p.grad = g
            w_tx.step()
        return {n: p.detach().clone() for n, p in net.state_dict().items()}, logits.detach()

    def run():
        nonlocal server, alphas
        models, logits = zip(*(local(client) for client in range(setting["clients"])))
        server = {name: torch.stack([m[name] for m in models]).mean(0) for name in server}
        alphas = torch.stack(logits).mean(0)

    choose_threads(lambda: loss("train", 0, 0, alphas.clone().requires_grad_()).backward())
    net.zero_grad(set_to_none=True)
    run()
    after = {f"params/{jax_name(n, kernels)}": to_numpy(n, p) for n, p in server.items()}
    if searching:
        after["alphas"] = alphas.numpy()
    return run, {"gap": round_gap(problem, after), "version": torch.__version__}


def choose_threads(work) -> None:
    """Sets the number of threads that does `work` fastest: small images gain nothing from two."""
    seconds = {}
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        torch.set_num_threads(threads)
        work()
        times = [timeit.timeit(work, number=1) for _ in range(10)]
        seconds[threads] = statistics.median(times)
    torch.set_num_threads(min(seconds, key=seconds.get))


def to_numpy(name: str, weight: torch.Tensor) -> np.ndarray:
    """The inverse of `to_torch`."""
    array = weight.numpy()
    if name.endswith("depthwise.weight"):
        return array[:, 0].transpose(1, 2, 0)
    if name.endswith("pointwise.weight"):
        return array[:, :, 0, 0].T
    return array.transpose(2, 3, 1, 0)


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # as XLA does
    serve(lambda: prepare(dict(np.load(sys.argv[1]))))
