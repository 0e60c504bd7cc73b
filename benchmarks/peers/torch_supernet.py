"""The supernets of NAS-CSMRI and FedAutoMRI in PyTorch; what is run is told by bench_supernet."""

import json

import torch
import torch.nn.functional as F

from benchmarks.bench_supernet import A_RATE, W_RATE
from benchmarks.peers import torch_setting
from benchmarks.peers.torch_denoiser import (
    Denoiser,
    Edge,
    edge_weights,
    jax_names,
    load,
    mixed_edges,
    to_jax,
)
from benchmarks.timing import serve


def prepare(program: str, problem):
    """The workload of the problem."""
    torch_setting.set_up()
    setting = json.loads(str(problem["setting"]))
    nodes, operations = setting["nodes"], setting["operations"]
    kernels = {n.removeprefix("params/"): v for n, v in problem.items() if n.startswith("params/")}
    net = Denoiser(setting["channels"], setting["cells"], mixed_edges(nodes, operations), Edge)
    load(net, kernels)
    net.to(torch_setting.DEVICE, memory_format=torch_setting.memory_format(program))
    apply = torch_setting.maybe_compile(program, net)
    alphas = torch.from_numpy(problem["alphas"]).to(torch_setting.DEVICE).requires_grad_()
    images = {n: torch_setting.image(problem[n], program) for n in problem if n[:2] in ("x_", "y_")}
    params, names = list(net.parameters()), jax_names(kernels)

    def loss(half):
        y = apply(images[f"x_{half}"], edge_weights(alphas, nodes, operations))
        return F.mse_loss(y, images[f"y_{half}"])

    def gradients():
        return torch.autograd.grad(loss("train"), [alphas, *params])

    a_tx = torch.optim.Adam([alphas], lr=A_RATE)
    w_tx = torch.optim.Adam(params, lr=W_RATE)

    def bilevel():
        (alphas.grad,) = torch.autograd.grad(loss("valid"), [alphas])
        a_tx.step()
        for p, g in zip(params, torch.autograd.grad(loss("train"), params)):
            p.grad = g
        w_tx.step()
        return [alphas.grad, *(p.grad for p in params)]

    def named(found):
        weights = zip((name for name, _ in net.named_parameters()), found[1:])
        return {"alphas": found[0]} | {names[n]: to_jax(n, g) for n, g in weights}

    tuning_s = torch_setting.choose_threads(program, gradients)
    run = bilevel if setting["bilevel"] else gradients
    return torch_setting.prepared(run, named, tuning_s=tuning_s)


if __name__ == "__main__":
    serve(prepare)
