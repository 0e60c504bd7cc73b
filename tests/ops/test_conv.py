"""Dense and depthwise convolution against `lax`, in every transformation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
from jax.test_util import check_grads

from jaxnas.ops.conv import Conv, conv2d, reference_lowering, uniform_fan_in
from jaxnas.ops.depthwise import depthwise_conv2d
from jaxnas.ops.lowerings import LOWERINGS, _pixels_together, direct

# name: function, kernel shape, dilation
CASES = {
    "dense": (conv2d, (3, 3, 4, 24), 2),  # wide enough for the convolution as kernel gradient
    "narrow_input": (conv2d, (5, 3, 3, 6), 1),
    "narrow_output": (conv2d, (3, 3, 8, 2), 2),
    "pointwise": (conv2d, (1, 1, 4, 6), 1),
    "depthwise": (depthwise_conv2d, (3, 3, 4), 3),
    "depthwise_row": (depthwise_conv2d, (1, 9, 4), 1),
}


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """A loss of (x, kernel), the same loss by the reference, and operands."""
    function, shape, dilation = CASES[request.param]
    x = jax.random.normal(jax.random.key(1), (2, 9, 7, shape[2]))
    kernel = jax.random.normal(jax.random.key(2), shape)

    def loss(x, kernel):
        return jnp.sin(function(x, kernel, dilation=dilation)).sum()

    def reference(x, kernel):
        with reference_lowering():
            return loss(x, kernel)

    return loss, reference, x, kernel


def assert_close(actual, expected, rtol=2e-4):
    """Every leaf of two trees agrees within rtol of the leaf's largest value."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(jnp.abs(b).max() + 1e-6))


def test_values_and_gradients_are_those_of_lax(case):
    loss, reference, x, kernel = case
    both = jax.jit(jax.value_and_grad(loss, (0, 1)))(x, kernel)
    assert_close(both, jax.value_and_grad(reference, (0, 1))(x, kernel))


def test_reference_lowering_is_one_lax_convolution(case):
    loss, reference, x, kernel = case
    ours, plain = str(jax.make_jaxpr(loss)(x, kernel)), str(jax.make_jaxpr(reference)(x, kernel))
    assert plain.count("conv_general_dilated") == 1
    assert ours.count("conv_general_dilated") == 0


def test_gradients_by_finite_differences_in_float64():
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(1), (1, 5, 4, 2))
        for function, shape in ((conv2d, (3, 3, 2, 3)), (depthwise_conv2d, (3, 3, 2))):
            kernel = jax.random.normal(jax.random.key(2), shape)
            check_grads(jax.jit(partial(function, dilation=2)), (x, kernel), order=1)


def test_hessian_vector_products_in_both_modes(case):
    loss, reference, x, kernel = case
    v = (0.3 * x + 1, 0.5 - kernel)

    def forward_over_reverse(f):
        return jax.jit(lambda *a: jax.jvp(jax.grad(f, (0, 1)), a, v)[1])(x, kernel)

    def reverse_over_reverse(f):
        def directional(*a):
            return sum(jnp.vdot(p, q) for p, q in zip(jax.grad(f, (0, 1))(*a), v))

        return jax.jit(jax.grad(directional, (0, 1)))(x, kernel)

    expected = forward_over_reverse(reference)
    assert_close(forward_over_reverse(loss), expected)
    assert_close(reverse_over_reverse(loss), expected)


@pytest.mark.parametrize("axes", [(2, 1), (0, None), (None, 0)], ids=str)
def test_vmap_over_images_and_kernels(case, axes):
    loss, reference, x, kernel = case
    x = x if axes[0] is None else jnp.stack([x, x + 1, -x], axes[0])
    kernel = kernel if axes[1] is None else jnp.stack([kernel, kernel - 1, 2 * kernel], axes[1])

    def run(f):
        return jax.jit(jax.vmap(jax.value_and_grad(f, (0, 1)), axes))(x, kernel)

    assert_close(run(loss), run(reference))


def test_nested_vmap():
    x = jax.random.normal(jax.random.key(1), (2, 2, 1, 6, 5, 4))
    kernel = jax.random.normal(jax.random.key(2), (2, 2, 3, 3, 4, 5))
    nested = jax.vmap(jax.vmap(conv2d), (0, 1))(x, kernel)
    for i, j in np.ndindex(2, 2):
        np.testing.assert_allclose(nested[i, j], conv2d(x[i, j], kernel[j, i]), atol=1e-5)


def test_scan_and_remat_leave_gradients_alone(case):
    loss, _, x, kernel = case

    def scanned(x, kernel):
        step = jax.checkpoint(lambda total, scale: (total + loss(scale * x, kernel), None))
        return jax.lax.scan(step, 0.0, jnp.array([1.0, 0.5]))[0]

    def unrolled(x, kernel):
        return loss(x, kernel) + loss(0.5 * x, kernel)

    gradients = [jax.jit(jax.grad(f, (0, 1)))(x, kernel) for f in (scanned, unrolled)]
    assert_close(*gradients, rtol=1e-5)


@pytest.mark.optimised
def test_gradients_inside_a_loop_stay_canonical():
    """Within a loop XLA:CPU is 40 times slower on any other order of dimensions."""
    x, kernel = jnp.ones((1, 16, 16, 32)), jnp.ones((3, 3, 32, 32))
    step = jax.grad(lambda a: (conv2d(conv2d(a[0], a[1]), a[1]) ** 2).sum())
    compiled = jax.jit(lambda xs: jax.lax.map(lambda x: step((x, kernel)), xs)).lower(x[None])
    lines = [line for line in compiled.compile().as_text().splitlines() if "dim_labels=" in line]
    labels = {line.split("dim_labels=")[1].split(",")[0].split()[0] for line in lines}
    assert labels <= {"b01f_01io->b01f"}


@pytest.mark.parametrize("function", [conv2d, depthwise_conv2d])
def test_bfloat16(function, key):
    shape = (3, 3, 4, 5) if function is conv2d else (3, 3, 4)
    x = jax.random.normal(key, (1, 8, 8, 4))
    kernel = jax.random.normal(key, shape)
    half = [a.astype(jnp.bfloat16) for a in (x, kernel)]

    def gradients(*operands):
        return jax.value_and_grad(lambda *a: (function(*a) ** 2).sum(), (0, 1))(*operands)

    out = gradients(*half)
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(jnp.bfloat16)}
    assert_close(jax.tree.map(jnp.float32, out), gradients(x, kernel), rtol=5e-2)


@pytest.mark.parametrize(
    ("function", "x", "kernel", "message"),
    [
        (conv2d, (8, 8, 3), (3, 3, 3, 2), "image"),
        (conv2d, (1, 8, 8, 3), (3, 3, 4, 2), r"\(kh, kw, 3, O\)"),
        (conv2d, (1, 8, 8, 3), (2, 3, 3, 2), "odd"),
        (depthwise_conv2d, (1, 8, 8, 3), (3, 3, 1, 3), r"\(kh, kw, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(function, x, kernel, message):
    with pytest.raises(ValueError, match=message):
        function(jnp.ones(x), jnp.ones(kernel))


def test_mixed_dtypes_and_zero_dilation_are_refused():
    x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2))
    with pytest.raises(ValueError, match="dtype"):
        conv2d(x, kernel.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match="dilation"):
        conv2d(x, kernel, dilation=0)


def test_conv_layer_has_torch_like_bounds(key):
    layer = Conv(8, (3, 3), use_bias=True)
    params = layer.init(key, jnp.ones((1, 4, 4, 5)))["params"]
    assert jax.tree.map(jnp.shape, params) == {"kernel": (3, 3, 5, 8), "bias": (8,)}
    bound = 45**-0.5
    assert 0.9 * bound < jnp.abs(params["kernel"]).max() <= bound


@pytest.mark.parametrize("gain", [1 / 3, 1.0, 2.0])
def test_gain_is_the_variance_over_fan_in(gain, key):
    kernel = uniform_fan_in(gain)(key, (3, 3, 16, 64))
    np.testing.assert_allclose(kernel.var(), gain / 144, rtol=0.05)


def test_conv_layer_computes_in_its_dtype(key):
    layer = Conv(3, use_bias=True, dtype=jnp.bfloat16)
    y, variables = layer.init_with_output(key, jnp.ones((1, 4, 4, 2)))
    assert y.dtype == jnp.bfloat16
    assert variables["params"]["kernel"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("size", "dilation", "inputs"), [((3, 5), 1, 2), ((3, 3), 2, 26), ((1, 1), 1, 2)], ids=str
)
@pytest.mark.parametrize("name", LOWERINGS)
def test_every_lowering_is_lax_for_every_kernel(name, size, dilation, inputs):
    """On any backend: N kernels at once, and their gradients, against `lax` and its gradient."""
    outputs = 28 - inputs
    keys = jax.random.split(jax.random.key(3), 3)
    x = jax.random.normal(keys[0], (3, 2, 7, 6, inputs))
    kernel = jax.random.normal(keys[1], (3, *size, inputs, outputs))
    dy = jax.random.normal(keys[2], (3, 2, 7, 6, outputs))

    def one(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    forward, gradient = LOWERINGS[name]
    options = {"dilation": dilation, "precision": None}

    @jax.jit
    def both(x, kernel, dy):
        ours = forward(x, kernel, **options), gradient(x, dy, size=size, **options)
        pulled = [jax.vjp(one, *operands) for operands in zip(x, kernel)]
        dk = [pull(d)[1] for (_, pull), d in zip(pulled, dy)]
        return ours, (jnp.stack([y for y, _ in pulled]), jnp.stack(dk))

    assert_close(*both(x, kernel, dy))


@pytest.mark.parametrize(
    ("size", "dilation"), [((3, 3), 2), ((7, 7), 1), ((1, 5), 3), ((5, 1), 1)], ids=str
)
@pytest.mark.parametrize(
    ("width", "inputs", "outputs", "pixels"),
    [(8, 6, 6, 2), (12, 2, 6, 4), (12, 6, 2, 4), (16, 1, 5, 8), (8, 8, 16, 1), (9, 2, 2, 1)],
)
def test_pixels_taken_together_on_cpu(size, dilation, width, inputs, outputs, pixels):
    """Convolutions of few channels are `lax`'s, whatever is beyond the image's edge."""
    assert _pixels_together(width, inputs, outputs) == pixels
    keys = jax.random.split(jax.random.key(4))
    x = jax.random.normal(keys[0], (2, 5, width, inputs))
    kernel = jax.random.normal(keys[1], (*size, inputs, outputs))
    ours = LOWERINGS["cpu"][0](x[None], kernel[None], dilation=dilation, precision=None)[0]
    assert_close(ours, direct(x, kernel, dilation=dilation, precision=None))


@pytest.mark.parametrize("name", LOWERINGS)
def test_every_lowering_by_finite_differences(name):
    """In float64: ⟨dy, f(k + εd) − f(k − εd)⟩ / 2ε = ⟨dk, d⟩; f is linear, so ε may be one."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(3), 4)
        x = jax.random.normal(keys[0], (2, 1, 5, 6, 3))
        kernel, d = (jax.random.normal(k, (2, 3, 3, 3, 4)) for k in keys[1:3])
        dy = jax.random.normal(keys[3], (2, 1, 5, 6, 4))
        forward, gradient = LOWERINGS[name]
        options = {"dilation": 2, "precision": None}
        slope = jnp.vdot(dy, forward(x, kernel + d, **options) - forward(x, kernel - d, **options))
        dk = gradient(x, dy, size=(3, 3), **options)
        np.testing.assert_allclose(slope / 2, jnp.vdot(dk, d), rtol=1e-12)


# From jax 0.12 on that backend is on its way out, and says so.
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend:DeprecationWarning")
def test_triton_programs_can_be_made_without_a_gpu():
    """Up to Triton's own language; whether they run, and how fast, is for a GPU to say."""
    x, k = jnp.ones((2, 1, 9, 70, 20)), jnp.ones((2, 3, 3, 20, 5))
    forward, gradient = LOWERINGS["triton"]

    def both(x, k):
        y = forward(x, k, dilation=2, precision=None)
        return gradient(x, y, size=(3, 3), dilation=2, precision=None)

    one = AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    with use_abstract_mesh(AbstractMesh((1,), ("one",), abstract_device=one)):
        lowered = jax.jit(both).trace(x, k).lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count("@__gpu$xla.gpu.triton") == 2
