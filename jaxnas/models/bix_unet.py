"""The network that BiX-NAS found (Wang, Xiang et al., MICCAI 2021, arXiv 2106.14033).

A U-net whose encoder and decoder run three times over shared convolutions, each pass with
normalisations of its own, and skip connections in both directions. The authors published what they
found; with 3 channels in and 1 class it has 383,904 parameters. The normalisations of the bridge
share their parameters too; here they keep the statistics of every pass apart.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.conv import Conv
from jaxnas.ops.norm import BatchNorm
from jaxnas.ops.resample import max_pool2, resize

LEVELS, WIDTH, OUTER = 4, 48, 32

# What every block reads, by pass and level: the mean of 0, the block before it, and of i, level
# i − 1 of the other half (decoders read the encoders of the same pass, encoders the decoders of the
# pass before). None: the block is skipped. From `bixnet_gene.txt`, blocks struck out that do not
# lead to the last decoder.
Reads = tuple[tuple[int, ...] | None, ...]
_ENCODER_READS: tuple[Reads, ...] = (
    ((0,), (0,), None, None),
    ((3, 1), (1, 0), None, None),
    (None, (4,), (0,), None),
)
_DECODER_READS: tuple[Reads, ...] = (
    ((2,), None, (1,), None),
    (None, None, None, (0,)),
    ((3,), (2, 0), (0, 2), (0,)),
)


class BixUnet(nn.Module):
    """Images (B, H, W, any), sides of at least 32, to logits float32 (B, H, W, classes)."""

    classes: int = 4
    dtype: Any = jnp.float32

    def setup(self):
        """Convolutions are shared by the passes, normalisations are not."""
        self.stem = [self._conv(width) for width in (OUTER, OUTER, WIDTH)]
        self.stem_norm = [BatchNorm() for _ in range(3)]
        self.encoder = self._shared(_ENCODER_READS)
        self.decoder = self._shared(_DECODER_READS)
        self.encoder_norm = self._norms(_ENCODER_READS)
        self.decoder_norm = self._norms(_DECODER_READS)
        self.bridge = [self._conv(WIDTH) for _ in range(2)]
        # The bridge is one for all passes, but what it normalises differs from pass to pass.
        self.bridge_norm = [[BatchNorm(affine=False) for _ in range(2)] for _ in _ENCODER_READS]
        self.bridge_scale = self.param("bridge_scale", nn.initializers.ones_init(), (2, WIDTH))
        self.bridge_bias = self.param("bridge_bias", nn.initializers.zeros_init(), (2, WIDTH))
        self.tail = [self._conv(OUTER) for _ in range(2)]
        self.tail_norm = [BatchNorm() for _ in range(2)]
        self.head = Conv(self.classes, (1, 1))
        # The published weights, and their number, include the normalisations of skipped blocks.
        for turn, level in np.ndindex(len(_ENCODER_READS), LEVELS):
            for name, half in (("encoder", _ENCODER_READS), ("decoder", _DECODER_READS)):
                if half[turn][level] is None:
                    self._unused_norms(f"skipped_{name}{turn}_{level}")

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns the logits, float32."""
        if min(x.shape[1:3]) < 32:
            raise ValueError(f"expected sides of at least 32, found shape {x.shape}")

        def block(x, convs, norms):
            for conv, norm in zip(convs, norms):
                x = nn.relu(norm(conv(x), train=train))
            return x

        image_size = x.shape[1:3]
        start = max_pool2(block(x.astype(self.dtype), self.stem, self.stem_norm))
        decoded: list[jax.Array] = []
        for turn in range(len(_ENCODER_READS)):
            y, encoded = start, []
            for level, reads in enumerate(_ENCODER_READS[turn]):
                if reads is not None:
                    y = _mean(y, decoded, reads)
                    y = block(y, self.encoder[level], self.encoder_norm[turn][level])
                encoded.append(y)
                y = max_pool2(y)
            for conv, norm, scale, bias in zip(
                self.bridge, self.bridge_norm[turn], self.bridge_scale, self.bridge_bias
            ):
                wide = norm(conv(y).astype(jnp.float32), train=train)
                y = nn.relu(scale[None, None, None] * wide + bias[None, None, None]).astype(y.dtype)
            y, decoded = resize(y, encoded[-1].shape[1:3]), []
            sizes = [*(e.shape[1:3] for e in encoded[-2::-1]), image_size]
            for level, reads in enumerate(_DECODER_READS[turn]):
                if reads is not None:
                    y = _mean(y, encoded, reads)
                    y = block(y, self.decoder[level], self.decoder_norm[turn][level])
                decoded.append(y)
                y = resize(y, sizes[level])
        return self.head(block(y, self.tail, self.tail_norm)).astype(jnp.float32)

    def _conv(self, width: int) -> Conv:
        return Conv(width, gain=2.0)

    def _shared(self, half: tuple[Reads, ...]) -> list[list[Conv] | None]:
        """Two convolutions for every level that some pass does not skip."""
        used = [any(reads[level] is not None for reads in half) for level in range(LEVELS)]
        return [[self._conv(WIDTH), self._conv(WIDTH)] if one else None for one in used]

    def _unused_norms(self, name: str) -> None:
        """Scale and bias of two normalisations that nothing reads."""
        self.param(f"{name}_scale", nn.initializers.ones_init(), (2, WIDTH))
        self.param(f"{name}_bias", nn.initializers.zeros_init(), (2, WIDTH))

    def _norms(self, half: tuple[Reads, ...]) -> list[list[list[BatchNorm]]]:
        return [[[BatchNorm(), BatchNorm()] for _ in reads] for reads in half]


def _mean(before: jax.Array, others: list[jax.Array], reads: tuple[int, ...]) -> jax.Array:
    """The mean of what a block reads, at the size of the block before it."""
    _, height, width, _ = before.shape
    sources = [before, *others]
    return add_up(resize(sources[i], (height, width)) for i in reads) / len(reads)


def bix_unet(*, channels: int, classes: int, dtype: Any) -> nn.Module:
    """The network of BiX-NAS, whose width is published: `channels` is not read."""
    return BixUnet(classes, dtype)
