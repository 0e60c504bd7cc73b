"""The spaces of one repeated cell.

NAS-CSMRI (Yan et al., 2020) has two, over five operations each. FedAutoMRI (Wu et al., 2023) has
eight convolutions, two of them kept on every edge: neither identity nor zero is a candidate, so
every edge of a derived cell computes. The paper leaves open how the two add up: they are summed, or
weighted with `network.edges` (see the genotype).
"""

from jaxnas.ops.candidates import (
    CSMRI_A_OPERATIONS,
    CSMRI_B_OPERATIONS,
    FEDAUTOMRI_OPERATIONS,
)
from jaxnas.spaces.derive import TWO_INPUTS, TWO_OPERATIONS
from jaxnas.spaces.space import CellSpace

_CSMRI_EXAMPLE = (("sep_conv_3x3",),)
CSMRI_A = CellSpace("csmri_a", CSMRI_A_OPERATIONS, TWO_INPUTS, _CSMRI_EXAMPLE)
CSMRI_B = CellSpace("csmri_b", CSMRI_B_OPERATIONS, TWO_INPUTS, _CSMRI_EXAMPLE)
# A standard and a separable convolution on every edge, the wider one on the cell's inputs: with 8
# channels and 2 cells the size that the paper prints, 0.016 M.
_FEDAUTOMRI_EXAMPLE = (
    ("std_conv_3x3", "sep_conv_5x5"),
    ("std_conv_3x3", "sep_conv_5x5"),
    ("std_conv_3x3", "sep_conv_3x3"),
)
FEDAUTOMRI = CellSpace("fedautomri", FEDAUTOMRI_OPERATIONS, TWO_OPERATIONS, _FEDAUTOMRI_EXAMPLE)
