"""The two spaces of NAS-CSMRI (Yan et al., 2020): one cell, repeated, over five operations each."""

from dataclasses import dataclass

from jaxnas.ops.candidates import CSMRI_A, CSMRI_B


@dataclass(frozen=True)
class CellSpace:
    """A space whose cells draw every edge from the same operations.

    `cells` names the kinds of cell; all cells of one kind share their alphas.
    """

    name: str
    operations: tuple[str, ...]
    cells: tuple[str, ...] = ("normal",)


SPACES = {
    space.name: space for space in (CellSpace("csmri_a", CSMRI_A), CellSpace("csmri_b", CSMRI_B))
}
