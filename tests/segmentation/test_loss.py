"""Segmentation losses against PyTorch and loops over pixels, and the loss of a whole step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.engine.step import init_train_state, make_train_step
from jaxnas.segmentation.augment import NONE, Augmentation
from jaxnas.segmentation.loss import (
    cross_entropy,
    dice_cross_entropy,
    segmentation_loss,
    soft_dice,
)
from jaxnas.segmentation.section import LOSSES
from tests.segmentation.tiny import SegNet, labelled


@pytest.fixture
def pair():
    """Logits (2, 5, 6, 4) and labels in which class 2 is missing."""
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
    return jnp.asarray(logits), jnp.asarray(rng.choice([0, 1, 3], (2, 5, 6)).astype(np.uint8))


def test_cross_entropy_and_its_gradient_are_pytorch_s(pair):
    torch = pytest.importorskip("torch")
    logits, labels = pair
    value, gradient = jax.value_and_grad(cross_entropy)(logits, labels)
    z = torch.tensor(np.asarray(logits)).permute(0, 3, 1, 2).requires_grad_()
    want = torch.nn.functional.cross_entropy(z, torch.tensor(np.asarray(labels)).long())
    want.backward()
    np.testing.assert_allclose(value, want.item(), rtol=1e-6)
    np.testing.assert_allclose(gradient, z.grad.permute(0, 2, 3, 1).numpy(), atol=1e-7)


def test_cross_entropy_survives_huge_logits(pair):
    logits, labels = pair
    value, gradient = jax.value_and_grad(cross_entropy)(1e4 * logits, labels)
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
    assert cross_entropy(logits.astype(jnp.bfloat16), labels).dtype == jnp.float32


def test_soft_dice_is_the_loop_over_classes_and_pixels(pair):
    logits, labels = (np.asarray(x) for x in pair)
    e = np.exp(logits.astype(np.float64))
    p = e / e.sum(-1, keepdims=True)
    scores = []
    for k in (1, 2, 3):
        both = prob = true = 0.0
        for place in np.ndindex(labels.shape):
            t = float(labels[place] == k)
            both, prob, true = both + p[place][k] * t, prob + p[place][k], true + t
        scores.append((2 * both + 1e-5) / (prob + true + 1e-5))
    np.testing.assert_allclose(soft_dice(*pair), 1 - np.mean(scores), rtol=1e-5)


def test_soft_dice_is_dice_for_certain_predictions(pair):
    _, labels = pair
    wrong = jnp.where(labels == 1, 3, labels)
    sure = 50.0 * jax.nn.one_hot(wrong, 4)
    threes = [int((x == 3).sum()) for x in (labels, wrong)]
    # Class 1 is never predicted, class 2 absent on both sides, class 3 over-predicted.
    want = 1 - (0 + 1 + 2 * threes[0] / sum(threes)) / 3
    np.testing.assert_allclose(soft_dice(sure, labels), want, atol=1e-5)
    np.testing.assert_allclose(soft_dice(50.0 * jax.nn.one_hot(labels, 4), labels), 0, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_differences(name, pair):
    logits, labels = (np.asarray(x) for x in pair)
    direction = np.random.default_rng(1).normal(size=logits.shape).astype(np.float32)

    def along(t):
        return LOSSES[name](logits + t * direction, labels)

    step = 2e-2
    slope = (along(step) - along(-step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(along)(0.0), slope, rtol=3e-3)


def test_objectives_add_up(pair):
    want = cross_entropy(*pair) + soft_dice(*pair)
    np.testing.assert_allclose(dice_cross_entropy(*pair), want, rtol=1e-6)


def test_labels_that_do_not_fit_are_refused(pair):
    with pytest.raises(ValueError, match=r"labels \(B, H, W\)"):
        cross_entropy(pair[0], pair[1][:, :4])


@pytest.mark.parametrize("name", LOSSES)
def test_training_reduces_the_loss(key, name):
    net, tx = SegNet(), optax.adam(3e-2)
    batch = labelled(key)
    params = net.init(key, batch["image"][..., None], train=True)["params"]
    mild = Augmentation(5.0, 0.05, 0.02, 0.05, 0.05, 0.05, 0.02)
    step = jax.jit(make_train_step(segmentation_loss(net, LOSSES[name], mild), tx))
    state = init_train_state(key, params, tx)
    losses = []
    for _ in range(30):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert set(state.params) == set(params), "no running state enters the parameters"


def test_the_loss_is_that_of_the_augmented_batch(key):
    net, batch = SegNet(), labelled(key)
    params = net.init(key, batch["image"][..., None], train=True)["params"]
    plain, _ = segmentation_loss(net, cross_entropy, NONE)(params, batch, key)
    logits, _ = net.apply(
        {"params": params}, batch["image"][..., None], train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(plain, cross_entropy(logits, batch["label"]), rtol=1e-6)
    varied = segmentation_loss(net, cross_entropy, Augmentation())
    first, other = (varied(params, batch, jax.random.key(k))[0] for k in (0, 1))
    assert abs(first - other) > 1e-4 and first == varied(params, batch, jax.random.key(0))[0]
