"""The reader that a config's data section names."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.data.arrays import ArraySource
from jaxnas.data.cc359 import CC359, CC359Source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import ARRAYS, HDF5
from jaxnas.data.modl_brain import ModlBrainSource
from jaxnas.data.registry import MEMORY, READERS, SYNTHETIC
from jaxnas.data.section import DataConfig
from jaxnas.data.source import Source
from jaxnas.data.synthetic import SyntheticSource


class Reader(NamedTuple):
    """A way to read files: `open(section data)`, the endings of the files, and the keys of the
    section that its layout leaves to be said."""

    open: Callable[[DataConfig], Source]
    suffixes: tuple[str, ...]
    keys: tuple[str, ...] = ()


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
    if config.source == SYNTHETIC:
        return _open_synthetic(config, seed)
    return READERS[config.source].open(config)


def _open_synthetic(config: DataConfig, seed: int) -> SyntheticSource:
    made = config.synthetic
    return SyntheticSource(
        volumes=made.volumes, slices=made.slices, size=made.size, coils=made.coils, seed=seed
    )


def _open_arrays(config: DataConfig) -> ArraySource:
    return ArraySource(
        config.files,
        domain=config.domain,
        dataset=config.dataset,
        axes=config.axes,
        sens=config.sens,
        origin=config.origin,
    )


_KEYS = ("origin", "domain", "dataset", "axes", "sens")  # of no use where a layout is fixed
FASTMRI = Reader(
    lambda config: FastMRISource(config.files, origin=config.origin), HDF5, ("origin",)
)
PLAIN_ARRAYS = Reader(_open_arrays, ARRAYS, _KEYS)
MODL_BRAIN = Reader(lambda config: ModlBrainSource(config.files), HDF5)
CALGARY = Reader(lambda config: CC359Source(config.files), CC359)


def check_fields(config: DataConfig) -> None:
    """Raises UserError where a section describes what the layout of its source fixes."""
    if config.origin != "center" and config.domain != "kspace":
        raise UserError(
            f"data.origin: is {config.origin!r}, but data.domain is {config.domain!r}; expected "
            "origin for k-space only, remove it"
        )
    own = READERS[config.source].keys if config.source in READERS else ()
    for field in _KEYS:
        value, default = getattr(config, field), DataConfig.model_fields[field].default
        if field not in own and value != default:
            sources = [name for name, reader in READERS.items() if field in reader.keys]
            raise UserError(
                f"data.{field}: is {value!r}, but data.source is {config.source!r}, whose layout "
                f"is fixed; expected {field} for the source {' or '.join(map(repr, sources))} "
                "only, remove it"
            )
