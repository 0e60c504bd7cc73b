"""The spaces by the names that configs use."""

from jaxnas.core.registry import Entry, Registry

# One cell repeated: a `CellSpace`, whose number of nodes is replaced.
SPACES = Registry(
    "space",
    {
        "csmri_a": Entry("jaxnas.spaces.cell_spaces:CSMRI_A"),
        "csmri_b": Entry("jaxnas.spaces.cell_spaces:CSMRI_B"),
        "fedautomri": Entry("jaxnas.spaces.cell_spaces:FEDAUTOMRI"),
        "unrolled": Entry("jaxnas.spaces.residual:UNROLLED_SPACE"),
    },
    group="jaxnas.spaces",
)
# Cells and paths: a `TwoLevelSpace`, whose grid and other settings are replaced.
TWO_LEVEL_SPACES = Registry(
    "space", {"rtdnas": Entry("jaxnas.spaces.rtdnas:RTDNAS")}, group="jaxnas.two_level_spaces"
)
