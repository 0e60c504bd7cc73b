"""The two spaces of NAS-CSMRI (Yan et al., 2020): one cell, repeated, over five operations each."""

from jaxnas.ops.candidates import CSMRI_A_OPERATIONS as OPERATIONS_A
from jaxnas.ops.candidates import CSMRI_B_OPERATIONS as OPERATIONS_B
from jaxnas.spaces.derive import TWO_INPUTS
from jaxnas.spaces.space import CellSpace

_EXAMPLE = (("sep_conv_3x3",),)

CSMRI_A = CellSpace("csmri_a", OPERATIONS_A, TWO_INPUTS, _EXAMPLE)
CSMRI_B = CellSpace("csmri_b", OPERATIONS_B, TWO_INPUTS, _EXAMPLE)
