"""A derived network of RT-DNAS in PyTorch, at inference; what is run is told by bench_rtdnas."""

import json

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers import torch_setting
from benchmarks.peers.torch_rtdnas import (
    CELLS,
    CHAINS,
    EPSILON,
    SKIP,
    conv,
    double,
    kernel_of,
)
from benchmarks.timing import serve


class Net(nn.Module):
    """The cells of all paths, each once, on images (B, 1, H, W) with stem stride 2.

    `arrays` are the JAX variables by path; `cells` lists (layer, scale, direction), `picks` the
    nodes of every kind of cell. Normalisations are folded into the convolutions before them.
    """

    def __init__(self, arrays, cells, picks):
        super().__init__()
        self.cells, self.picks = cells, picks
        tensors = {n: torch.from_numpy(kernel_of(n, x).copy()) for n, x in arrays.items()}
        for name in [n for n in tensors if n.endswith("/mean")]:
            fold(tensors, name.removeprefix("batch_stats/").removesuffix("/mean"))
        self.arrays = nn.ParameterDict(
            {n: nn.Parameter(x, requires_grad=False) for n, x in tensors.items()}
        )

    def forward(self, image):
        """Logits (B, K, H, W)."""
        w = self.arrays
        x = F.relu(self._conv(image, "stem/kernel", "stem/norm0", stride=2))
        tiles = {(0, 0): F.relu(self._conv(x, "stem/conv/kernel", "stem/norm1"))}
        for layer, scale, direction in self.cells:
            y = self._cell(tiles[layer, scale], layer, scale, CELLS[direction])
            place = (layer + 1, scale + direction - 1)
            tiles[place] = tiles[place] + y if place in tiles else y
        last = max(layer for layer, _ in tiles), 0
        head = "params/head0/conv/"
        return double(F.conv2d(tiles[last], w[f"{head}kernel"], w[f"{head}bias"]))

    def _cell(self, x, layer, scale, kind):
        own, states = f"layer{layer}_scale{scale}_{kind}", [x]
        for index, picks in enumerate(self.picks[kind], start=1):
            reads = [
                self._operation(states[source], name, f"{own}/x{index}_from{source}_{name}")
                for name, source in picks
            ]
            states.append(sum(reads))
        x = torch.cat(states[1:], 1)
        x = F.relu(F.max_pool2d(x, 2) if kind == "contract" else x)
        x = self._conv(x, f"{own}/scale/conv/kernel", f"{own}/scale/norm")
        return double(x) if kind == "expand" else x

    def _operation(self, x, name, own):
        if name == SKIP:
            return x
        for index, (_, dilation, separable) in enumerate(CHAINS[name]):
            x = F.relu(x)
            if separable:
                taps = self.arrays[f"params/{own}/depthwise{index}"]
                x = conv(x, taps, dilation=dilation, groups=taps.shape[0])
            kernel = f"{own}/{'pointwise' if separable else 'kernel'}{index}"
            x = self._conv(x, kernel, f"{own}/norm{index}")
        return x

    def _conv(self, x, kernel, norm, *, stride=1):
        weight, bias = self.arrays[f"params/{kernel}"], self.arrays[f"params/{norm}/bias"]
        return F.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)


def fold(tensors: dict[str, torch.Tensor], norm: str) -> None:
    """Moves the scale of a normalisation into the kernel before it; its shift stays as `bias`."""
    where, name = norm.rsplit("/", 1)
    index = name.removeprefix("norm")
    known = (f"pointwise{index}", f"kernel{index}", "kernel", "conv/kernel")
    known = known[::-1] if name == "norm1" else known  # the stem has both of the last
    kernel = next(n for n in (f"params/{where}/{k}" for k in known) if n in tensors)
    mean, variance = (tensors.pop(f"batch_stats/{norm}/{n}") for n in ("mean", "variance"))
    scale = tensors.pop(f"params/{norm}/scale") / torch.sqrt(variance + EPSILON)
    tensors[f"params/{norm}/bias"] -= scale * mean
    tensors[kernel] *= scale[:, None, None, None]


def prepare(program: str, problem):
    """Logits of a stack of slices."""
    torch_setting.set_up()
    setting = json.loads(str(problem["setting"]))
    arrays = {n: x for n, x in problem.items() if n.startswith(("params/", "batch_stats/"))}
    net = Net(arrays, setting["cells"], setting["picks"])
    net.to(torch_setting.DEVICE, memory_format=torch_setting.memory_format(program))
    apply = torch_setting.maybe_compile(program, net, freezing=True)
    stack = torch_setting.image(problem["image"][..., None], program)

    def run():
        with torch.inference_mode():
            return apply(stack)

    tuning_s = torch_setting.choose_threads(program, run)
    return torch_setting.prepared(
        run, lambda logits: {"logits": logits.movedim(1, -1)}, tuning_s=tuning_s
    )


if __name__ == "__main__":
    serve(prepare)
