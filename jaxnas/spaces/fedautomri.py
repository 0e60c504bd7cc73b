"""The space of FedAutoMRI (Wu et al., 2023): eight convolutions, two of them kept on every edge.

Neither identity nor zero is a candidate, so every edge of a derived cell computes. The paper leaves
open how the two add up: they are summed, or weighted with `network.edges` (see the genotype).
"""

from jaxnas.ops.candidates import FEDAUTOMRI_OPERATIONS as OPERATIONS
from jaxnas.spaces.derive import TWO_OPERATIONS
from jaxnas.spaces.space import CellSpace

# A standard and a separable convolution on every edge, the wider one on the cell's inputs: with 8
# channels and 2 cells the size that the paper prints, 0.016 M.
_EXAMPLE = (
    ("std_conv_3x3", "sep_conv_5x5"),
    ("std_conv_3x3", "sep_conv_5x5"),
    ("std_conv_3x3", "sep_conv_3x3"),
)

FEDAUTOMRI = CellSpace("fedautomri", OPERATIONS, TWO_OPERATIONS, _EXAMPLE)
