"""Volumes that are arrays in memory, not files."""

from collections.abc import Mapping

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.coils import expand_coils, unit_maps
from jaxnas.data.sampling import examined
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import centered_fft2, narrowed


class Arrays:
    """Slices of arrays in memory: the source of a search or a training in a notebook.

    `volumes` holds complex k-space (S, H, W), or (S, C, H, W) of several coils, by the names of the
    volumes: centred, unitary, the zero frequency in the middle. With `domain="image"` it holds
    complex images (S, H, W), whose k-space is their transform. `sens` holds coil sensitivities
    (C, H, W) or (S, C, H, W) by volume, `subjects` the subject of every volume whose volumes must
    stay on one side of a split, `masks` what was sampled of a volume, bool (W,) or (H, W).
    UserError for other shapes, real numbers and no volume at all.

    >>> import numpy as np
    >>> import jaxnas
    >>> images = np.ones((3, 16, 16), np.complex64)
    >>> source = jaxnas.Arrays({"a": images, "b": 2 * images}, domain="image")
    >>> len(source.slices), source.read(0).kspace.shape
    (6, (16, 16))
    """

    def __init__(
        self,
        volumes: Mapping[str, np.ndarray],
        *,
        domain: str = "kspace",
        sens: Mapping[str, np.ndarray] | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
        subjects: Mapping[str, str] | None = None,
    ):
        if domain not in ("kspace", "image"):
            raise ValueError(f"expected the domain 'kspace' or 'image', found {domain!r}")
        if not volumes:
            raise UserError("arrays: there is no volume; expected at least one")
        self._domain, self._sens, self._masks = domain, sens or {}, masks or {}
        self._volumes = {name: _checked(name, array) for name, array in volumes.items()}
        self._places = [(name, i) for name, x in self._volumes.items() for i in range(len(x))]
        self.slices = tuple(self._ref(name, i) for name, i in self._places)
        self.labels = {name: {"subject": own} for name, own in (subjects or {}).items()}

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`; UserError for NaN, infinity and numbers beyond float32."""
        name, index = self._places[i]
        where = f"array {name!r}"
        values, sens = narrowed(self._volumes[name][index], where=where, index=index), None
        if name in self._sens:
            maps = np.asarray(self._sens[name])
            maps = maps if maps.ndim == 3 else maps[index]
            sens = unit_maps(narrowed(maps, where=f"sens {name!r}", index=index), where=where)
        if self._domain == "image":
            values = centered_fft2(values) if sens is None else expand_coils(values, sens)
        if values.ndim == 3 and len(values) == 1:
            values, sens = values[0], None
        mask = self._masks.get(name)
        if mask is not None:
            mask = np.asarray(mask, bool)
            values = np.where(mask, values, 0)
        item = Slice(values, sens, mask, name, index)
        return item if self._domain == "image" and mask is None else examined(item, where=where)

    def _ref(self, name: str, index: int) -> SliceRef:
        array = self._volumes[name]
        coils = array.shape[1] if array.ndim == 4 else 1
        if self._domain == "image" and name in self._sens:
            coils = np.shape(self._sens[name])[-3]
        return SliceRef(name, index, tuple(array.shape[-2:]), coils, name in self._masks)


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim not in (3, 4) or not np.iscomplexobj(array) or 0 in array.shape:
        raise UserError(
            f"array {name!r}: is {array.dtype} of shape {array.shape}; expected complex numbers "
            f"(S, H, W) or (S, C, H, W), a real image times its phase"
        )
    return array
