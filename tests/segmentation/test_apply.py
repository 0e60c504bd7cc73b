"""The predictor: the network's answer on the source grid, compiled once, one frame at a time."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.data.prepare import Preparation
from jaxnas.segmentation.apply import WARM_CALLS, Predictor
from tests.segmentation.tiny import PREPARATION, ByThreshold, SegNet, volume


@pytest.fixture
def predictor():
    """A network that knows the intensities of the labels."""
    net = ByThreshold()
    variables = net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
    return Predictor(net, variables, PREPARATION)


def counting(predictor):
    """The shapes that the predictor compiles from now on."""
    shapes = []
    compiled = predictor._jitted

    class Lowering:
        def lower(self, variables, stack):
            shapes.append(stack.shape)
            return compiled.lower(variables, stack)

    predictor._jitted = Lowering()
    return shapes


def test_probabilities_are_the_softmax_of_the_applied_network(key):
    net = SegNet()
    stack = jax.random.normal(key, (3, 16, 16))
    variables = net.init(key, stack[..., None], train=False)
    stats = {"BatchNorm_0": {"mean": jnp.full(8, 0.2), "variance": jnp.full(8, 1.7)}}
    variables = {"params": variables["params"], "batch_stats": stats}
    got = Predictor(net, variables, PREPARATION).predict(np.asarray(stack))
    want = jax.nn.softmax(net.apply(variables, stack[..., None], train=False))
    assert got.dtype == np.float32 and got.shape == (3, 16, 16, 4)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_labels_come_back_on_the_grid_of_the_volume(predictor):
    source = volume()
    labels = predictor.segment(source)
    assert labels.shape == source.image.shape and labels.dtype == np.uint8
    assert (labels == source.labels).mean() > 0.95
    coarse = Predictor(ByThreshold(), predictor.variables, Preparation(spacing=3.0, size=(8, 16)))
    labels = coarse.segment(source)
    assert labels.shape == source.image.shape
    # Eight rows of 3 mm are 24 mm, sixteen rows of the source: beyond, all is background.
    assert not labels[:, :3].any() and not labels[:, -3:].any() and labels[:, 8:-8].any()


def test_every_shape_is_compiled_once(predictor):
    shapes = counting(predictor)
    for z in (3, 2, 3, 3, 2):
        predictor.segment(volume(shape=(z, 24, 20)))
    assert shapes == [(3, 24, 20), (2, 24, 20)]


def test_volumes_segmented_by_slices_share_one_program(predictor):
    shapes = counting(predictor)
    for z in (1, 2, 3, 4):
        source = volume(shape=(z, 24, 20))
        labels = predictor.segment_by(source, slices=2)
        assert shapes == [(2, 24, 20)]
        whole = Predictor(ByThreshold(), predictor.variables, PREPARATION).segment(source)
        np.testing.assert_array_equal(labels, whole)


def test_a_stream_gives_what_segment_gives_and_when(predictor):
    frames = [volume(f"frame{t:02d}") for t in range(4)]
    results = list(predictor.stream(iter(frames)))
    for frame, result in zip(frames, results, strict=True):
        np.testing.assert_array_equal(result.labels, predictor.segment(frame))
        assert min(result.latency) > 0
        assert result.latency.total == pytest.approx(sum(result.latency))


def test_nothing_compiles_while_the_clock_runs(predictor, monkeypatch):
    shapes, events = counting(predictor), []
    timed = Predictor.segment_timed

    def spy(self, frame):
        before = len(shapes)
        result = timed(self, frame)
        events.append((frame.name, len(shapes) - before))
        return result

    monkeypatch.setattr(Predictor, "segment_timed", spy)
    frames = [volume(f"f{t}", shape=(2 + t // 2, 24, 20)) for t in range(4)]
    yielded = [events[-1] for _ in predictor.stream(frames)]
    assert yielded == [("f0", 0), ("f1", 0), ("f2", 0), ("f3", 0)]
    assert len(events) == 4 + 2 * WARM_CALLS and shapes == [(2, 24, 20), (3, 24, 20)]


def test_a_stream_holds_one_frame_at_a_time(predictor):
    references, most = [], 0

    class Pixels(np.ndarray):
        """An array that can be seen to live."""

    def frames():
        nonlocal most
        for t in range(6):
            source = volume(f"frame{t:02d}")
            pixels = source.image.view(Pixels)
            references.append(weakref.ref(pixels))
            gc.collect()
            most = max(most, sum(reference() is not None for reference in references))
            frame = source._replace(image=pixels)
            del source, pixels
            yield frame
            del frame

    assert len(list(predictor.stream(frames()))) == 6
    assert most == 1


def test_labels_of_a_frame_are_not_needed(predictor):
    with_labels = volume()
    (a,), (b,) = (
        list(predictor.stream([x])) for x in (with_labels, with_labels._replace(labels=None))
    )
    np.testing.assert_array_equal(a.labels, b.labels)
