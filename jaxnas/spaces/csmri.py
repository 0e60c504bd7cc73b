"""The two spaces of NAS-CSMRI (Yan et al., 2020): one cell, repeated, over five operations each."""

from jaxnas.ops.candidates import CSMRI_A as OPERATIONS_A
from jaxnas.ops.candidates import CSMRI_B as OPERATIONS_B
from jaxnas.spaces.derive import TWO_INPUTS
from jaxnas.spaces.space import CellSpace

EXAMPLE = (("sep_conv_3x3",),)

CSMRI_A = CellSpace("csmri_a", OPERATIONS_A, TWO_INPUTS, EXAMPLE)
CSMRI_B = CellSpace("csmri_b", OPERATIONS_B, TWO_INPUTS, EXAMPLE)
