"""A first-order search step of RT-DNAS in PyTorch; what is run is told by bench_rtdnas.

Programs are `torch_channels_last`, `torch_nchw` and `torch_grouped`.
"""

import json

import torch
import torch.nn.functional as F

from benchmarks.bench_rtdnas import A_RATE, MOMENTUM, W_RATE
from benchmarks.peers import torch_setting
from benchmarks.peers.torch_rtdnas import CELLS, Supernet
from benchmarks.timing import serve


def soften(cells, betas, mask, nodes):
    """Eq. 1: softmax over the (input, operation) pairs of a node, and over the live cells."""
    tables = {}
    for name, logits in cells.items():
        rows = torch.split(logits, [node + 1 for node in range(nodes)])
        tables[name] = torch.cat([torch.softmax(r.flatten(), 0).view_as(r) for r in rows])
    lowest = torch.finfo(betas.dtype).min
    shares = torch.softmax(betas.masked_fill(~mask, lowest), -1)
    return tables, shares * mask


def prepare(program: str, problem):
    """One step: SGD on the weights with one half of a batch, Adam on the logits with the other."""
    torch_setting.set_up()
    setting = json.loads(str(problem["setting"]))
    nodes, mask = setting["nodes"], torch.from_numpy(problem["mask"]).to(torch_setting.DEVICE)
    kernels = {n.removeprefix("params/"): x for n, x in problem.items() if n.startswith("params/")}
    net = Supernet(
        kernels,
        [tuple(cell) for cell in problem["live"].tolist()],
        problem["operations"].tolist(),
        nodes=nodes,
        partial=setting["partial"],
        grouped=program == "torch_grouped",
    )
    net.to(torch_setting.DEVICE, memory_format=torch_setting.memory_format(program))
    logits = {
        name: torch.from_numpy(problem[f"alphas/{name}"]).to(torch_setting.DEVICE).requires_grad_()
        for name in (*(f"cells/{cell}" for cell in CELLS), "betas")
    }
    halves = {
        half: (
            torch_setting.image(problem[f"image_{half}"][..., None], program),
            torch.from_numpy(problem[f"label_{half}"]).long().to(torch_setting.DEVICE),
        )
        for half in ("train", "valid")
    }
    params, alphas = list(net.parameters()), list(logits.values())

    def loss(half):
        image, label = halves[half]
        cells = {cell: logits[f"cells/{cell}"] for cell in CELLS}
        return F.cross_entropy(net(image, *soften(cells, logits["betas"], mask, nodes)), label)

    w_tx = torch.optim.SGD(params, lr=W_RATE, momentum=MOMENTUM, foreach=True)
    a_tx = torch.optim.Adam(alphas, lr=A_RATE)

    def step():
        for p, g in zip(params, torch.autograd.grad(loss("train"), params)):
            p.grad = g
        w_tx.step()
        for a, g in zip(alphas, torch.autograd.grad(loss("valid"), alphas)):
            a.grad = g
        a_tx.step()

    def named(_):
        found = net.gradients([p.grad for p in params])
        found = {f"params/{name}": torch.from_numpy(x) for name, x in found.items()}
        return found | {f"alphas/{name}": x.grad for name, x in logits.items()}

    return torch_setting.prepared(step, named)


if __name__ == "__main__":
    serve(prepare)
