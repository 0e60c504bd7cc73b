"""The Pareto front against its definition, and what the figures show."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from jaxnas.report import latency, pareto, style
from tests.report import fake_overlaps as fake_segmentation


@pytest.mark.parametrize("seed", range(8))
def test_the_front_is_what_nothing_beats(seed):
    rng = np.random.default_rng(seed)
    points = [tuple(p) for p in rng.integers(0, 8, (25, 2)).astype(float)]

    def beaten(p):
        return any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)

    front = [points[i] for i in pareto.pareto_front(points)]
    assert front == sorted({p for p in points if not beaten(p)})
    assert pareto.pareto_front([]) == []


def lines(axes, colour):
    return [line for line in axes.lines if same_color(line.get_color(), colour)]


def test_the_front_joins_networks_that_keep_both_limits():
    metrics = fake_segmentation.metrics(np.random.default_rng(0), random=0)
    figure = pareto.draw_pareto(metrics)
    for axes, want in zip(
        figure.axes,
        (
            [(26, 0.859), (35, 0.910), (41, 0.922), (44.6, 0.931)],
            [(40.4, 0.859), (34.1, 0.910), (28.9, 0.922), (23.4, 0.931)],
        ),
    ):
        (front,) = [line for line in lines(axes, pareto.FRONT) if len(line.get_xdata()) > 2]
        assert list(zip(front.get_xdata(), front.get_ydata())) == want
        # Shaded: the side on which the limit is kept.
    left, right = (
        axes.patches[0].get_extents().transformed(axes.transData.inverted()) for axes in figure.axes
    )
    assert left.x1 == pytest.approx(50) and right.x0 == pytest.approx(22)


@pytest.mark.parametrize(("factor", "named"), [(1.0, True), (1.9, False), (50.0, False)])
def test_the_legend_names_the_front_only_where_one_is_drawn(factor, named):
    metrics = fake_segmentation.metrics(np.random.default_rng(0), random=0)
    for row in metrics["rows"]:
        row["latency_ms"]["p50"] *= factor  # at 1.9 a single network keeps the limit
    figure = pareto.draw_pareto(metrics)
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert ("Pareto front of the valid" in words) == named
    for axes in figure.axes:
        joined = [line for line in lines(axes, pareto.FRONT) if len(line.get_xdata()) > 2]
        assert bool(joined) == named


@pytest.mark.parametrize(("factor", "shaded"), [(0.02, (True, True)), (50.0, (False, False))])
def test_limits_far_away_do_not_stretch_the_axes(factor, shaded):
    metrics = fake_segmentation.metrics(np.random.default_rng(0), random=0)
    for row in metrics["rows"]:
        row["latency_ms"]["p50"] *= factor
        row["throughput_fps"] /= factor
    figure = pareto.draw_pareto(metrics)
    figure.canvas.draw()
    for axes, whole in zip(figure.axes, shaded):
        low, high = axes.get_xlim()
        values = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
        assert high - low < 2 * (max(values) - min(values))
        region = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        assert (region.width > 0.9 * (high - low)) == whole
        assert any("limit" in text.get_text() for text in axes.texts)


def test_a_limit_beside_the_points_leaves_them_room():
    metrics = fake_segmentation.metrics(np.random.default_rng(0), random=0)
    for number, row in enumerate(metrics["rows"]):
        row["latency_ms"]["p50"], row["throughput_fps"] = 27 + 0.01 * number, 37 - 0.01 * number
    for axes in pareto.draw_pareto(metrics).axes:
        low, high = axes.get_xlim()
        values = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
        assert min(min(values) - low, high - max(values)) > 0.05 * (high - low)


def test_a_searched_network_of_unknown_decoder_is_no_baseline():
    metrics = fake_segmentation.metrics(np.random.default_rng(0), random=0)
    baselines = [row for row in metrics["rows"] if row.get("decoder") is None]
    baselines[0]["model"] = "derived"
    metrics["rows"] = baselines[:1]
    figure = pareto.draw_pareto(metrics)
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert "searched" in words and "baseline" not in words


def test_labels_cover_no_other_label():
    figure = pareto.draw_pareto(fake_segmentation.metrics(np.random.default_rng(0), random=0))
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert not any(overlaps)


def test_calibration_shows_every_network_and_the_fit():
    found = fake_segmentation.calibration(np.random.default_rng(0))
    (axes,) = latency.draw_calibration(found).axes
    (dots,) = lines(axes, style.BLUE)
    np.testing.assert_array_equal(dots.get_xdata(), found["predicted_ms"])
    np.testing.assert_array_equal(dots.get_ydata(), found["measured_ms"])
    (fit,) = lines(axes, style.VERMILLION)
    x, y = fit.get_xdata(), fit.get_ydata()
    np.testing.assert_allclose(y, 1.12 * np.asarray(x) + 2.1)
    assert "Spearman 0.98" in axes.texts[0].get_text() and "2.9 %" in axes.texts[0].get_text()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["rv", "myo", "lv"], "mean of RV, MYO and LV"),
        (["liver", "kidney"], "mean of liver and kidney"),
        (["liver"], "liver"),
        ([*"abcde"], "mean of 5 classes"),
        ([], "mean of all classes"),
    ],
)
def test_the_axis_names_the_classes(names, words):
    metrics = fake_segmentation.metrics(np.random.default_rng(0), random=0)
    for row in metrics["rows"]:
        row["dice"] = dict.fromkeys([*names, "mean"], row["dice"]["mean"])
    left, _ = pareto.draw_pareto(metrics).axes
    assert left.get_ylabel() == f"Dice, {words}"
