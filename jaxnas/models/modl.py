"""MoDL: DCCNN's cascade with one denoiser for all iterations.

Aggarwal et al., "MoDL: model-based deep learning architecture for inverse problems" (2019), as
re-implemented by Yan et al. (NAS-CSMRI): 56,674 parameters with 3 residual blocks, 204,642 with
11, and one more where λ is learned.
"""

from functools import partial

from flax import linen as nn

from jaxnas.models.dccnn import ResidualDenoiser
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import unroll


def modl(config: NetworkConfig, *, blocks: int = 3) -> nn.Module:
    """The cascade, one denoiser with the same weights throughout."""
    denoiser = partial(ResidualDenoiser, config.channels, blocks, config.dtype)
    return unroll(config, denoiser, shared=True)


modl_11 = partial(modl, blocks=11)
