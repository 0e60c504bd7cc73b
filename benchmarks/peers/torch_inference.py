"""A derived reconstruction network in PyTorch; what is run is told by bench_inference.

Data consistency is written at its cheapest. With measured samples s = m k₀ and g = λ/(1 + λ),
x + g Fᴴ(s − m F x) = x + g (x⁰ − Fᴴ m F x), where x⁰ = Fᴴ s is the zero-filled image the network
begins with; a mask of columns leaves of F only the transform along a row, and its shifts only move
the mask.
"""

import json

import torch
from torch import nn

from benchmarks.peers import torch_setting
from benchmarks.peers.torch_denoiser import Denoiser, SummedEdge, load
from benchmarks.timing import serve


class Unrolled(nn.Module):
    """Denoising and data consistency in turn, on images (B, 2, H, W)."""

    def __init__(self, denoisers: list[Denoiser], gain: float):
        super().__init__()
        self.denoisers, self.gain = nn.ModuleList(denoisers), gain

    def forward(self, start, mask):
        """The zero-filled image and the mask (B, 1, W) with frequency 0 first."""
        x = start
        for denoiser in self.denoisers:
            z = denoiser(x)
            spectrum = torch.fft.fft(torch.complex(z[:, 0], z[:, 1]), norm="ortho") * mask
            seen = torch.fft.ifft(spectrum, norm="ortho")
            x = z + self.gain * (start - torch.stack([seen.real, seen.imag], 1))
        return x


def centred_inverse(kspace: torch.Tensor) -> torch.Tensor:
    """Fᴴ: centred, unitary."""
    axes = (-2, -1)
    image = torch.fft.ifft2(torch.fft.ifftshift(kspace, axes), norm="ortho")
    return torch.fft.fftshift(image, axes)


def prepare(program: str, problem):
    """Measurements to images."""
    torch_setting.set_up()
    setting = json.loads(str(problem["setting"]))
    params = {n.removeprefix("params/"): x for n, x in problem.items() if n.startswith("params/")}
    edges: dict[str, list[str]] = {}
    for node, picks in enumerate(setting["picks"]):
        for name, source in sorted(picks, key=lambda pick: pick[1]):
            edges.setdefault(f"edge{node}_{source}", []).append(name)
    count = 1 if setting["shared"] else setting["cascades"]
    denoisers = []
    for index in range(count):
        prefix = "denoiser/" if setting["shared"] else f"cascade{index}/"
        denoiser = Denoiser(setting["channels"], setting["cells"], edges, SummedEdge)
        own = {n.removeprefix(prefix): x for n, x in params.items() if n.startswith(prefix)}
        load(denoiser, own)
        denoisers.append(denoiser)
    if setting["shared"]:
        denoisers *= setting["cascades"]
    lam = params.get("log_lam")
    gain = 1.0 if lam is None else float(torch.sigmoid(torch.tensor(lam)))  # λ / (1 + λ)
    net = Unrolled(denoisers, gain).eval().requires_grad_(False)
    net.to(torch_setting.DEVICE, memory_format=torch_setting.memory_format(program))
    apply = torch_setting.maybe_compile(program, net, freezing=True)
    kspace, mask = (
        torch.from_numpy(problem[n]).to(torch_setting.DEVICE) for n in ("kspace", "mask")
    )
    mask = torch.fft.ifftshift(mask, -1)
    layout = torch_setting.memory_format(program)

    def run():
        with torch.inference_mode():
            image = centred_inverse(kspace)
            start = torch.stack([image.real, image.imag], 1).contiguous(memory_format=layout)
            return apply(start, mask)

    def named(x):
        return {"image": torch.complex(x[:, 0].contiguous(), x[:, 1].contiguous())}

    tuning_s = torch_setting.choose_threads(program, run)
    return torch_setting.prepared(run, named, tuning_s=tuning_s)


if __name__ == "__main__":
    serve(prepare)
