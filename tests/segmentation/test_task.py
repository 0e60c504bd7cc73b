"""Statistics over many batches equal those of all images at once, at the first norm layer.

The Dice of a validation is the one that the evaluation would give, whoever asks first.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnas.data.annotation import patient_names
from jaxnas.data.heart import HeartSource
from jaxnas.ops.conv import Conv
from jaxnas.ops.norm import BatchNorm
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.dataset import LabeledDataset
from jaxnas.segmentation.rows import segmentation_rows
from jaxnas.segmentation.scoring import evaluate_segmentation
from jaxnas.segmentation.task import DiceValidation, make_statistics, precise_statistics
from tests.segmentation.tiny import PREPARATION, SegNet, labelled


@pytest.fixture(scope="module")
def trained():
    """A network, its parameters, and five batches of different brightness."""
    net = SegNet()
    batches = [labelled(jax.random.key(k))["image"] + k for k in range(5)]
    return net, net.init(jax.random.key(0), batches[0][..., None], train=True)["params"], batches


def test_they_are_those_of_all_images_at_once(trained):
    net, params, batches = trained
    got = precise_statistics(make_statistics(net), params, batches)["BatchNorm_0"]
    values = Conv(8).apply({"params": params["Conv_0"]}, jnp.concatenate(batches)[..., None])
    np.testing.assert_allclose(got["mean"], values.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(got["variance"], values.var((0, 1, 2)), rtol=1e-5)
    apart = [Conv(8).apply({"params": params["Conv_0"]}, x[..., None]) for x in batches]
    within = np.mean([x.var((0, 1, 2)) for x in apart], axis=0)
    assert (got["variance"] > 1.05 * within).any(), "the brightness of the batches differs"


def test_the_order_of_batches_does_not_matter_and_one_batch_is_itself(trained):
    net, params, batches = trained
    statistics = make_statistics(net)
    one = precise_statistics(statistics, params, batches[:1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        one,
        jax.device_get(statistics(params, batches[0])),
    )
    there, back = (precise_statistics(statistics, params, x) for x in (batches, batches[::-1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), there, back)


def test_applied_with_them_the_network_is_the_trained_one(trained):
    """With the statistics of one batch, application equals training on that batch."""
    net, params, batches = trained
    stats = precise_statistics(make_statistics(net), params, batches[:1])
    x = batches[0][..., None]
    want, _ = net.apply({"params": params}, x, train=True, mutable=["batch_stats"])
    got = net.apply({"params": params, "batch_stats": stats}, x, train=False)
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_compiled_once_for_all_batches(trained):
    batches = trained[2]
    traced = []

    class Counting(nn.Module):
        """Counts how often it is traced."""

        @nn.compact
        def __call__(self, x, *, train):
            traced.append(x.shape)
            return BatchNorm(affine=False)(x, train=train)

    precise_statistics(make_statistics(Counting()), {}, batches)
    assert traced == [(4, 16, 16, 1)]


def test_a_network_without_norm_has_no_statistics(trained):
    class Plain(nn.Module):
        """A convolution."""

        @nn.compact
        def __call__(self, x, *, train):
            return Conv(1)(x)

    params = Plain().init(jax.random.key(0), trained[2][0][..., None], train=True)["params"]
    assert precise_statistics(make_statistics(Plain()), params, trained[2]) == {}


def test_what_cannot_be_put_together_is_refused(trained):
    net, params, batches = trained
    statistics = make_statistics(net)
    with pytest.raises(ValueError, match="one shape, got none"):
        precise_statistics(statistics, params, [])
    with pytest.raises(ValueError, match="one shape"):
        precise_statistics(statistics, params, [batches[0], batches[1][:2]])
    with pytest.raises(ValueError, match="got count"):
        precise_statistics(lambda *_: {"count": np.zeros(1)}, params, batches)


def variables(seed):
    image = np.random.default_rng(seed).normal(size=(1, 16, 16, 1)).astype(np.float32)
    return SegNet().init(jax.random.key(seed), image, train=True)


def test_dice_is_that_of_the_evaluation():
    source = HeartSource(patients=3, slices=2, size=32, frames=2, phases="ed_es")
    names = patient_names(source)
    groups = {"train": names[:1], "valid": names[1:], "test": ()}
    dataset, score = (
        LabeledDataset(source=source, preparation=PREPARATION, groups=groups),
        DiceValidation(SegNet(), slices=2),
    )
    for seed in (0, 1):  # the second of them runs what was compiled for the first
        own = variables(seed)
        found = evaluate_segmentation(
            {"net": Predictor(SegNet(), own, PREPARATION)},
            source,
            dataset.volumes("valid"),
            slices=2,
        )
        (row,) = segmentation_rows(found.scores, found.part)
        assert score(own, dataset) == pytest.approx(row["dice"]["mean"]["mean"], rel=1e-6)
