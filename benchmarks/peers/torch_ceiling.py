"""The matrix product and the pass over memory of bench_ceiling, in PyTorch."""

import torch

from benchmarks.bench_ceiling import SAMPLE, WORDS
from benchmarks.peers import torch_setting
from benchmarks.timing import serve


def prepare(program: str, problem):
    """One of the two."""
    torch_setting.set_up()
    if str(problem["what"]) == "matmul":
        torch.backends.cuda.matmul.allow_tf32 = True  # as XLA does by default
        x = torch.from_numpy(problem["x"]).to(torch_setting.DEVICE)
        y = torch.empty_like(x)
        return torch_setting.prepared(
            lambda: torch.matmul(x, x, out=y), lambda y: {"y": y[0, :SAMPLE]}
        )
    x = torch.zeros(WORDS, device=torch_setting.DEVICE)
    y = torch.empty_like(x)
    return torch_setting.prepared(lambda: torch.add(x, 1, out=y), lambda y: {"y": y[:SAMPLE]})


if __name__ == "__main__":
    serve(prepare)
