"""Neural architecture search for MRI in JAX.

    search, train, evaluate     the stages of a run, as `jaxnas run` does them
    load                        a trained run as a function of arrays: Reconstructor or Segmenter
    Arrays                      volumes in memory, the data of a search in a notebook
    load_config, make_config    an Experiment out of a YAML file or a mapping
    Genotype, load_genotype     an architecture
    make_mask, fft2c, ifft2c    sampling masks, the centred transform
    psnr, ssim, nmse, dice, hd95    metrics, as the papers' tables have them
    UserError                   raised for wrong input, with what to do about it

Names are imported when they are first used: `import jaxnas` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxnas.api import Reconstructor, Segmenter, evaluate, load, search, train
    from jaxnas.core.config import load_config, make_config
    from jaxnas.core.errors import UserError
    from jaxnas.core.sections import Experiment
    from jaxnas.data.memory import Arrays
    from jaxnas.engine.run import Run
    from jaxnas.metrics.image import nmse, psnr, ssim
    from jaxnas.metrics.overlap import dice, hd95
    from jaxnas.mri.complexes import fft2c, ifft2c
    from jaxnas.mri.masks import make_mask
    from jaxnas.spaces.genotype import Genotype, load_genotype

_HOMES = {
    "api": ("Reconstructor", "Segmenter", "evaluate", "load", "train"),
    "core.config": ("load_config", "make_config"),
    "core.errors": ("UserError",),
    "core.sections": ("Experiment",),
    "data.memory": ("Arrays",),
    "engine.run": ("Run",),
    "metrics.image": ("nmse", "psnr", "ssim"),
    "metrics.overlap": ("dice", "hd95"),
    "mri.complexes": ("fft2c", "ifft2c"),
    "mri.masks": ("make_mask",),
    "spaces.genotype": ("Genotype", "load_genotype"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Arrays",
    "Experiment",
    "Genotype",
    "Reconstructor",
    "Run",
    "Segmenter",
    "UserError",
    "dice",
    "evaluate",
    "fft2c",
    "hd95",
    "ifft2c",
    "load",
    "load_config",
    "load_genotype",
    "make_config",
    "make_mask",
    "nmse",
    "psnr",
    "search",
    "ssim",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "search":  # the room, which can be called
        return import_module("jaxnas.search")
    if name not in _HOME:
        raise AttributeError(f"module 'jaxnas' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"jaxnas.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
