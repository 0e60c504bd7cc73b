"""The unrolled network with a denoiser of one parameter, so that every claim can be computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnas.mri import coils, complexes
from jaxnas.mri.acquisition import measure, zero_filled
from jaxnas.mri.consistency import data_consistency
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import PostProcessing, Unrolled, unroll
from tests.checks import complex_normal


class Gain(nn.Module):
    """Multiplies by a parameter, and by the context when there is one."""

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x, context=1.0):
        gain = self.param("gain", nn.initializers.constant(0.5), ())
        return (x * gain * context).astype(self.dtype)


def make_measurement(key, *, coils=None, shape=(2, 9, 8)):
    """Every third column of random k-space; `coils` with normalised random sensitivities."""
    mask = (jnp.arange(shape[-1]) % 3 == 0).astype(jnp.float32)
    mask = jnp.broadcast_to(mask, (shape[0], 1, shape[-1]))
    if coils is None:
        return measure(complex_normal(key, shape), mask, None)
    k_image, k_sens = jax.random.split(key)
    sens = complex_normal(k_sens, (shape[0], coils, *shape[1:]))
    sens = sens / jnp.linalg.norm(sens, axis=1, keepdims=True)
    kspace = complexes.fft2c(complex_normal(k_image, shape)[:, None] * sens)
    return measure(kspace, mask, sens)


def run(net, measurement, *context):
    """(image, params) of a freshly initialised network."""
    init = jax.jit(net.init_with_output)
    image, variables = init(jax.random.key(1), measurement, *context)
    return image, variables["params"]


@pytest.mark.parametrize("lam", [None, 0.0, 2.0])
def test_is_denoising_and_eq8_in_turn(key, lam):
    m = make_measurement(key)
    image, _ = run(Unrolled(Gain, cascades=2, lam=lam), m)
    want = zero_filled(m)
    for _ in range(2):
        want = data_consistency(0.5 * want, m.kspace, m.mask, lam=lam)
    np.testing.assert_allclose(image, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("coils_", [None, 3])
def test_noiseless_limit_keeps_the_measured_samples(key, coils_):
    m = make_measurement(key, coils=coils_)
    image, _ = run(Unrolled(Gain, cascades=2, cg_iterations=60), m)
    np.testing.assert_allclose(coils.forward(image, m.mask, m.sens), m.kspace, atol=2e-3)


def test_several_coils_solve_the_normal_equations(key):
    m = make_measurement(key, coils=3)
    x, _ = run(Unrolled(Gain, cascades=1, lam=2.0, cg_iterations=40), m)
    z = 0.5 * zero_filled(m)
    gram = coils.adjoint(coils.forward(x, m.mask, m.sens), m.mask, m.sens)
    np.testing.assert_allclose(x + 2 * gram, z + 2 * zero_filled(m), atol=1e-4)


def test_parameter_names(key):
    m = make_measurement(key)
    _, params = run(Unrolled(Gain, cascades=2), m)
    assert set(params) == {"cascade0", "cascade1"}
    _, params = run(Unrolled(Gain, cascades=2, shared=True, lam=0.3, learn_lam=True), m)
    assert set(params) == {"denoiser", "log_lam"}
    _, params = run(PostProcessing(Gain), m)
    assert set(params) == {"denoiser"}


@pytest.mark.optimised
def test_shared_cascades_are_cascades_with_equal_weights(key):
    m = make_measurement(key)
    own, _ = run(Unrolled(Gain, cascades=3), m)
    shared, _ = run(Unrolled(Gain, cascades=3, shared=True), m)
    np.testing.assert_array_equal(own, shared)


@pytest.mark.parametrize("coils_", [None, 2])
def test_learned_lam_starts_at_lam_and_has_a_gradient(key, coils_):
    m = make_measurement(key, coils=coils_)
    fixed, _ = run(Unrolled(Gain, lam=0.3), m)
    net = Unrolled(Gain, lam=0.3, learn_lam=True)
    learned, params = run(net, m)
    np.testing.assert_allclose(learned, fixed, atol=1e-5)

    def loss(params):
        return jnp.sum(jnp.abs(net.apply({"params": params}, m)) ** 2)

    grad = jax.jit(jax.grad(loss))(params)["log_lam"]
    assert jnp.isfinite(grad) and grad != 0


def test_context_reaches_every_denoiser(key):
    m = make_measurement(key)
    doubled, _ = run(Unrolled(Gain), m, 2.0)
    # Gain 0.5 times context 2 is the identity, and consistency keeps a zero-filled image.
    np.testing.assert_allclose(doubled, zero_filled(m), atol=1e-5)


def test_narrow_denoisers_leave_physics_wide(key):
    m = make_measurement(key)
    image, _ = run(Unrolled(lambda name: Gain("bfloat16", name=name), cascades=2), m)
    assert image.dtype == jnp.complex64
    np.testing.assert_allclose(complexes.fft2c(image) * m.mask, m.kspace, atol=1e-5)


@pytest.mark.parametrize("coils_", [None, 2])
def test_batches_by_vmap(key, coils_):
    m = make_measurement(key, coils=coils_)
    net = Unrolled(Gain, lam=1.0)
    want, params = run(net, m)
    single = jax.tree.map(lambda a: a[:, None], m)
    got = jax.jit(jax.vmap(lambda one: net.apply({"params": params}, one)))(single)
    np.testing.assert_allclose(got[:, 0], want, atol=1e-5)


def test_post_processing_has_no_physics(key):
    m = make_measurement(key)
    image, _ = run(PostProcessing(Gain), m)
    np.testing.assert_allclose(image, 0.5 * zero_filled(m), rtol=1e-6)


def test_unroll_reads_the_config():
    config = NetworkConfig(cascades=5, lam=0.1, learn_lam=True, cg_iterations=4)
    plain = Unrolled(Gain, 5, True, 0.1, True, 4)
    looped = jax.default_backend() != "cpu"
    assert unroll(config, Gain, shared=True) == plain.clone(scanned=looped)
    for remat, whole in (("cells", False), ("cascades", True)):
        net = unroll(config.model_copy(update={"remat": remat}), Gain, shared=True)
        assert net == plain.clone(remat=whole, scanned=True)
    one = config.model_copy(update={"remat": "cascades", "cascades": 1})
    assert not unroll(one, Gain).scanned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cascades": 0}, "at least one cascade"),
        ({"learn_lam": True}, "positive start"),
        ({"learn_lam": True, "lam": 0.0}, "positive start"),
        ({"learn_lam": True, "lam": float("inf")}, "positive start"),
        ({"lam": -1.0}, "not negative"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Unrolled(Gain, **options)


@pytest.mark.parametrize("coils_", [None, 2])
@pytest.mark.parametrize("shared", [True, False])
def test_how_cascades_are_computed_changes_no_result(key, shared, coils_):
    """Values, and the gradients of weights, λ and context; the parameters are the same ones."""
    m = make_measurement(key, coils=coils_)
    options = {"cascades": 3, "shared": shared, "lam": 0.3, "learn_lam": True}
    plain = Unrolled(Gain, **options)
    params = start = run(plain, m, jnp.float32(1.2))[1]
    if not shared:
        params = params | {f"cascade{n}": {"gain": jnp.float32(0.4 + 0.1 * n)} for n in range(3)}

    def evaluate(net):
        def loss(params, context):
            return jnp.abs(net.apply({"params": params}, m, context) - 1).mean()

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, jnp.float32(1.2))

    wanted = evaluate(plain)
    for remat, scanned in ((True, False), (False, True), (True, True)):
        other = Unrolled(Gain, **options, remat=remat, scanned=scanned)
        shapes = jax.eval_shape(other.init, key, m, jnp.float32(1.2))["params"]
        assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, start)
        found = evaluate(other)
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_scanned_cascades_are_compiled_once(key):
    """The program does not grow with their number."""
    m = make_measurement(key)

    def lines(cascades):
        net = Unrolled(Gain, cascades=cascades, scanned=True)
        variables = net.init(key, m)
        return len(jax.jit(net.apply).lower(variables, m).as_text().splitlines())

    # Two more scalars come in, and are stacked, per cascade.
    assert lines(12) - lines(2) <= 3 * 10
