"""The reader that a config's data section names."""

from collections.abc import Callable

from jaxnas.core.errors import UserError
from jaxnas.data.arrays import ArraySource
from jaxnas.data.cc359 import CC359, CC359Source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import ARRAYS, HDF5
from jaxnas.data.modl_brain import ModlBrainSource
from jaxnas.data.section import MEMORY, DataConfig
from jaxnas.data.source import Source
from jaxnas.data.synthetic import SyntheticSource

SUFFIXES = {"fastmri": HDF5, "arrays": ARRAYS, "modl_brain": HDF5, "cc359": CC359}
DESCRIBES = {  # the sources whose layout leaves something open
    "origin": ("fastmri", "arrays"),
    **dict.fromkeys(("domain", "dataset", "axes", "sens"), ("arrays",)),
}


def open_source(config: DataConfig, *, seed: int) -> Source:
    """The slices that a data section names, as they are stored.

    `seed` is that of the embedded source. Raises UserError where there is nothing to read, a file
    is wrong, or the section describes what the layout of its source fixes.
    """
    check_fields(config)
    if config.source == MEMORY:
        raise UserError(
            "data.source memory: its volumes were arrays of a Python program; give them again, as "
            "jaxnas.search(..., data=jaxnas.Arrays(...)), or set another source"
        )
    if config.source == "synthetic":
        return _open_synthetic(config, seed)
    return READERS[config.source](config)


def _open_synthetic(config: DataConfig, seed: int) -> SyntheticSource:
    made = config.synthetic
    return SyntheticSource(
        volumes=made.volumes, slices=made.slices, size=made.size, coils=made.coils, seed=seed
    )


def _open_arrays(config: DataConfig) -> ArraySource:
    return ArraySource(
        config.path,
        domain=config.domain,
        dataset=config.dataset,
        axes=config.axes,
        sens=config.sens,
        origin=config.origin,
    )


READERS: dict[str, Callable[[DataConfig], Source]] = {
    "fastmri": lambda config: FastMRISource(config.path, origin=config.origin),
    "arrays": _open_arrays,
    "modl_brain": lambda config: ModlBrainSource(config.path),
    "cc359": lambda config: CC359Source(config.path),
}


def check_fields(config: DataConfig) -> None:
    """Raises UserError where a section describes what the layout of its source fixes."""
    if config.origin != "center" and config.domain != "kspace":
        raise UserError(
            f"data.origin: is {config.origin!r}, but data.domain is {config.domain!r}; expected "
            "origin for k-space only, remove it"
        )
    for field, sources in DESCRIBES.items():
        value, default = getattr(config, field), DataConfig.model_fields[field].default
        if config.source not in sources and value != default:
            raise UserError(
                f"data.{field}: is {value!r}, but data.source is {config.source!r}, whose layout "
                f"is fixed; expected {field} for the source {' or '.join(map(repr, sources))} "
                "only, remove it"
            )
