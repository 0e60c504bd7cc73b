"""The one home of convolution: NHWC images, zero SAME padding, stride one.

A convolution is bilinear in image and kernel, and its two gradients are convolutions again:

    y  = x * k
    dx = dy * flip(k)ᵀ           a convolution: the same primitive
    dk = Σ over pixels x ⊗ dy    a correlation: the second primitive, closed under the same rules

So two primitives are differentiable to any order, in either mode, and XLA sees only convolutions
that we wrote (`ops.lowerings`). That matters on CPU, where the gradients that
`lax.conv_general_dilated` makes for itself keep a memory layout that takes a path 40 times slower
inside `scan`, `map` and `while`.

Each primitive carries a leading axis of N independent kernels, which is what `vmap` over models
adds: CPU runs them in turn, an accelerator as one grouped convolution.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxnas.core import rng
from jaxnas.ops.lowerings import CHOICE, LOWERINGS, direct

_reference: contextvars.ContextVar[bool] = contextvars.ContextVar("reference", default=False)


@contextlib.contextmanager
def reference_lowering() -> Iterator[None]:
    """Traces every convolution as one `lax.conv_general_dilated` while the context is open.

    For counting operations and as the oracle of the tests. It acts on tracing: a function that
    `jax.jit` has already traced outside the context keeps its lowering.
    """
    token = _reference.set(True)
    try:
        yield
    finally:
        _reference.reset(token)


def is_reference() -> bool:
    """Tells whether `reference_lowering` is open."""
    return _reference.get()


def check_operands(x: jax.Array, kernel: jax.Array, *, rank: int, dilation: int) -> None:
    """Raises ValueError unless the kernel has `rank` axes, odd sizes and fits (B, H, W, C)."""
    if x.ndim != 4:
        raise ValueError(f"expected an image (B, H, W, C), found shape {x.shape}")
    if kernel.ndim != rank or kernel.shape[2] != x.shape[3]:
        expected = f"(kh, kw, {x.shape[3]}" + (", O)" if rank == 4 else ")")
        raise ValueError(f"expected a kernel {expected}, found shape {kernel.shape}")
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(f"expected odd kernel sizes, found {kernel.shape[:2]}")
    if x.dtype != kernel.dtype:
        raise ValueError(f"expected one dtype, found image {x.dtype} and kernel {kernel.dtype}")
    if dilation < 1:
        raise ValueError(f"expected dilation >= 1, found {dilation}")


def conv2d(x: jax.Array, kernel: jax.Array, *, dilation: int = 1) -> jax.Array:
    """Convolves images with a dense kernel, zero padded to the same size.

    y[b, h, w, o] = Σ_{i, j, c} x[b, h + d(i - kh//2), w + d(j - kw//2), c] kernel[i, j, c, o]

    Args:
      x: images (B, H, W, I), floating.
      kernel: (kh, kw, I, O), kh and kw odd, same dtype as `x`.
      dilation: the distance d between taps in pixels.

    Returns:
      (B, H, W, O) in the dtype of `x`.

    Raises:
      ValueError: shapes, dtypes or dilation do not fit.
    """
    check_operands(x, kernel, rank=4, dilation=dilation)
    if is_reference():
        return direct(x, kernel, dilation=dilation, precision=None)
    precision = default_precision()
    return conv_p.bind(x[None], kernel[None], dilation=dilation, precision=precision)[0]


def default_precision() -> str | None:
    """The precision of products that is set in jax; None for that of the device."""
    # jax makes its options attributes at run time.
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


PYTORCH_GAIN = 1 / 3  # the default of torch.nn.Conv2d


def uniform_fan_in(gain: float) -> Callable[..., jax.Array]:
    """Returns init(key, shape): uniform with variance `gain` / fan-in.

    The fan-in is the product of all axes but the last. A gain of 1 keeps the variance of the
    input, 2 keeps it behind a ReLU.
    """

    def init(key: jax.Array, shape: Sequence[int]) -> jax.Array:
        bound = (3 * gain / math.prod(shape[:-1])) ** 0.5
        return rng.uniform(key, shape, bound)

    return init


class Conv(nn.Module):
    """A convolution layer (B, H, W, I) → (B, H, W, features) with params `kernel` (and `bias`).

    `gain` sets the variance of the kernel at the start (see `uniform_fan_in`), `dtype` the compute
    dtype; None is that of the input.
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    dilation: int = 1
    use_bias: bool = False
    dtype: Any = None
    gain: float = PYTORCH_GAIN

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the convolved image in `dtype` (the input's when None)."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", uniform_fan_in(self.gain), shape)
        dtype = self.dtype or x.dtype
        y = conv2d(x.astype(dtype), kernel.astype(dtype), dilation=self.dilation)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            y = y + bias.astype(dtype)[None, None, None]
        return y


# The primitives. `conv_p`: x (N, B, H, W, I), k (N, kh, kw, I, O) → (N, B, H, W, O).
# `conv_kernel_p`: x (N, B, H, W, I), dy (N, B, H, W, O) → dk (N, kh, kw, I, O).

conv_p = Primitive("conv2d")
conv_kernel_p = Primitive("conv2d_kernel")


@conv_p.def_abstract_eval
def _(x, k, *, dilation, precision):
    return x.update(shape=(*x.shape[:4], k.shape[4]), weak_type=False)


@conv_kernel_p.def_abstract_eval
def _(x, dy, *, size, dilation, precision):
    return x.update(shape=(x.shape[0], *size, x.shape[4], dy.shape[4]), weak_type=False)


def _flip(k: jax.Array) -> jax.Array:
    """The kernel of the adjoint convolution: taps reversed, input and output channels swapped."""
    return jnp.swapaxes(k[:, ::-1, ::-1], 3, 4)


def _conv_transpose_x(dy, x, k, **params):
    return conv_p.bind(dy, _flip(k), **params)


def _conv_transpose_k(dy, x, k, **params):
    return conv_kernel_p.bind(x, dy, size=k.aval.shape[1:3], **params)


def _kernel_transpose_x(dk, x, dy, *, size, **params):
    return conv_p.bind(dy, _flip(dk), **params)


def _kernel_transpose_dy(dk, x, dy, *, size, **params):
    return conv_p.bind(x, dk, **params)


ad.defbilinear(conv_p, _conv_transpose_x, _conv_transpose_k)
ad.defbilinear(conv_kernel_p, _kernel_transpose_x, _kernel_transpose_dy)


def _merge(x: jax.Array, batch_axis: int, into: int) -> jax.Array:
    """Moves the mapped axis in front of axis `into` (counted without it) and merges the two."""
    x = jnp.moveaxis(x, batch_axis, into)
    return x.reshape(*x.shape[:into], -1, *x.shape[into + 2 :])


def _split(x: jax.Array, size: int, axis: int) -> jax.Array:
    """Undoes `_merge`: the mapped axis of `size` comes back at position `axis`."""
    return x.reshape(*x.shape[:axis], size, -1, *x.shape[axis + 1 :])


def _batch_rule(primitive, axes, output_axes, args, dims, **params):
    """Folds a mapped axis into the one axis of the primitive that can absorb it.

    With both operands mapped the axis joins the N independent kernels; with one operand mapped it
    joins that operand's free axis (`axes`) and is split off the result again (`output_axes`).
    """
    (a, b), (da, db) = args, dims
    if db is None:
        size, a = a.shape[da], _merge(a, da, axes[0])
        out_axis = output_axes[0]
    elif da is None:
        size, b = b.shape[db], _merge(b, db, axes[1])
        out_axis = output_axes[1]
    else:
        size, a, b = a.shape[da], _merge(a, da, 0), _merge(b, db, 0)
        out_axis = 0
    return _split(primitive.bind(a, b, **params), size, out_axis), out_axis


# Mapped images join the batch, mapped kernels the output channels; in the kernel gradient mapped
# images join the input channels and mapped cotangents the output channels.
batching.primitive_batchers[conv_p] = partial(_batch_rule, conv_p, (1, 4), (1, 4))
batching.primitive_batchers[conv_kernel_p] = partial(_batch_rule, conv_kernel_p, (4, 4), (3, 4))


@lru_cache(maxsize=1024)
def _jitted(primitive: Primitive, **params: Any) -> Any:
    return jax.jit(partial(primitive.bind, **params))


def register_lowering(primitive: Primitive, default: Any, cpu: Any) -> None:
    """Gives a primitive its meaning: a JAX function for the CPU and one for everything else."""
    primitive.def_impl(lambda *args, **params: _jitted(primitive, **params)(*args))
    mlir.register_lowering(primitive, mlir.lower_fun(default, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(cpu, multiple_results=False), "cpu")


def fenced(fn: Any) -> Any:
    """Compiles `fn` as a call of its own, so that XLA fuses nothing into it or out of it.

    XLA:CPU recomputes a fused operand for every reader, and its `optimization_barrier` is gone
    before fusion; a call that may not be inlined stays.
    """

    def call(*args, **params):
        with set_xla_metadata(inlineable="false"):
            return jax.jit(partial(fn, **params))(*args)

    return call


_chosen = {backend: LOWERINGS[name] for backend, name in CHOICE.items()}
register_lowering(conv_p, **{backend: pair[0] for backend, pair in _chosen.items()})
register_lowering(conv_kernel_p, **{backend: pair[1] for backend, pair in _chosen.items()})
