"""The spaces by the names that configs use."""

from jaxnas.spaces.csmri import CSMRI_A, CSMRI_B
from jaxnas.spaces.fedautomri import FEDAUTOMRI
from jaxnas.spaces.rtdnas import RTDNAS, TwoLevelSpace
from jaxnas.spaces.space import CellSpace

# One cell repeated, for reconstruction.
SPACES: dict[str, CellSpace] = {space.name: space for space in (CSMRI_A, CSMRI_B, FEDAUTOMRI)}

# Cells and paths, for segmentation; the grid and the rest of their settings are replaced.
TWO_LEVEL_SPACES: dict[str, TwoLevelSpace] = {space.name: space for space in (RTDNAS,)}
