"""A federated round in PyTorch: the same networks, client by client, as a good user writes it.

Eager mode, channels_last, one module per operation, Adam made anew for every client and round, and
the mean of the state dicts.
"""

import torch
import torch.nn.functional as F

from benchmarks.bench_round import RATES, change, read_setting
from benchmarks.peers import torch_setting
from benchmarks.peers.torch_denoiser import (
    Denoiser,
    Edge,
    SummedEdge,
    edge_weights,
    jax_names,
    load,
    to_jax,
)
from benchmarks.timing import serve


def edges_of(names: list[str]) -> dict[str, list[str]]:
    """The operations on every edge, from the names of the parameters of the first cell."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        if parts[:2] == ["cell0", "nodes"] and parts[3] not in found.setdefault(parts[2], []):
            found[parts[2]].append(parts[3])
    return found


def prepare(program: str, problem):
    """One round."""
    torch_setting.set_up()
    setting = read_setting(problem)
    kernels = {n.removeprefix("params/"): v for n, v in problem.items() if n.startswith("params/")}
    edges, searching = edges_of(list(kernels)), setting.workload == "search"
    kind = Edge if searching else SummedEdge
    net = Denoiser(setting.channels, setting.cells, edges, kind)
    load(net, kernels)
    net.to(torch_setting.DEVICE, memory_format=torch_setting.memory_format(program))
    server = {n: p.detach().clone() for n, p in net.state_dict().items()}
    alphas = torch.from_numpy(problem["alphas"]).to(torch_setting.DEVICE)
    flat = {n: x.reshape(-1, *x.shape[-3:]) for n, x in problem.items() if n[:2] in ("x_", "y_")}
    images = {n: torch_setting.image(x, program).split(1) for n, x in flat.items()}
    operations = problem["operations"].tolist()

    def loss(half, client, step, logits):
        number = client * setting.steps + step
        weights = edge_weights(logits, setting.nodes, operations) if searching else None
        return F.mse_loss(net(images[f"x_{half}"][number], weights), images[f"y_{half}"][number])

    def local(client):
        net.load_state_dict(server)
        logits = alphas.clone().requires_grad_()
        params = list(net.parameters())
        w_tx = torch.optim.Adam(params, lr=RATES["weights"])
        a_tx = torch.optim.Adam([logits], lr=RATES["alphas"])
        for step in range(setting.steps):
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
        models, logits = zip(*(local(client) for client in range(setting.clients)))
        server = {name: torch.stack([m[name] for m in models]).mean(0) for name in server}
        alphas = torch.stack(logits).mean(0)
        return server | {"alphas": alphas}

    def named(after):
        names = jax_names(kernels)
        found = {f"params/{names[n]}": to_jax(n, after[n]).cpu().numpy() for n in server}
        found |= {"alphas": after["alphas"].cpu().numpy()} if searching else {}
        return {n: torch.from_numpy(x) for n, x in change(problem, found).items()}

    def work():
        loss("train", 0, 0, alphas.clone().requires_grad_()).backward()

    tuning_s = torch_setting.choose_threads(program, work, repeats=10)
    net.zero_grad(set_to_none=True)
    return torch_setting.prepared(run, named, tuning_s=tuning_s)


if __name__ == "__main__":
    serve(prepare)
