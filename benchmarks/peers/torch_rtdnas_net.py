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
    scaling,
)
from benchmarks.timing import serve


class Net(nn.Module):
    """The cells of all paths, each once, on images (B, 1, H, W) with stem stride 2.

    `arrays` are the JAX variables by path; `cells` lists (layer, scale, direction), `picks` the
    nodes of every kind of cell.
    """

    def __init__(self, arrays, cells, picks):
        super().__init__()
        self.cells, self.picks = cells, picks
        self.arrays = nn.ParameterDict(
            {
                name: nn.Parameter(torch.from_numpy(kernel_of(name, x).copy()), requires_grad=False)
                for name, x in arrays.items()
            }
        )

    def forward(self, image):
        """Logits (B, K, H, W)."""
        w = self.arrays
        x = conv(image, w["params/stem/kernel"], stride=2)
        x = F.relu(self._norm(x, "stem/norm0"))
        x = conv(x, w["params/stem/conv/kernel"])
        tiles = {(0, 0): F.relu(self._norm(x, "stem/norm1"))}
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
        weight = self.arrays[f"params/{own}/scale/conv/kernel"]
        joined = torch.cat(states[1:], 1)
        return scaling(joined, kind, weight, lambda y: self._norm(y, f"{own}/scale/norm"))

    def _operation(self, x, name, own):
        if name == SKIP:
            return x
        for index, (_, dilation, separable) in enumerate(CHAINS[name]):
            x = F.relu(x)
            if separable:
                taps = self.arrays[f"params/{own}/depthwise{index}"]
                x = conv(x, taps, dilation=dilation, groups=taps.shape[0])
                x = conv(x, self.arrays[f"params/{own}/pointwise{index}"])
            else:
                x = conv(x, self.arrays[f"params/{own}/kernel{index}"])
            x = self._norm(x, f"{own}/norm{index}")
        return x

    def _norm(self, x, own):
        w, s = self.arrays, f"batch_stats/{own}"
        scale, bias = w[f"params/{own}/scale"], w[f"params/{own}/bias"]
        return F.batch_norm(x, w[f"{s}/mean"], w[f"{s}/variance"], scale, bias, eps=EPSILON)


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
