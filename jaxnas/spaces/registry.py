"""The spaces by the names that configs use."""

from jaxnas.spaces.csmri import CSMRI_A, CSMRI_B
from jaxnas.spaces.fedautomri import FEDAUTOMRI
from jaxnas.spaces.space import CellSpace

SPACES: dict[str, CellSpace] = {space.name: space for space in (CSMRI_A, CSMRI_B, FEDAUTOMRI)}
