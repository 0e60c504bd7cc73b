"""Reconstructions and the trade-off: right numbers on shared scales, nothing on top of another."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from jaxnas.core.files import read_json
from jaxnas.report import images as recon
from jaxnas.report import inputs, tradeoff


@pytest.fixture(scope="module")
def run(run_dir):
    return inputs.read_run(run_dir)


def example(shape=(24, 32)):
    """A box that the reconstruction misses in one corner of the centre."""
    target = np.zeros(shape, np.float32)
    target[8:16, 8:24] = 1.0
    wrong = target.copy()
    wrong[12:16, 18:24] = 0.5
    return inputs.ExampleImage(4.0, None, None, target, None, {"zero_filled": wrong, "net": wrong})


def test_the_detail_covers_the_largest_error():
    window = recon.detail_window(example())
    error = np.abs(example().target - example().images["net"])
    assert error[window].sum() >= 0.9 * error.sum()
    assert error[window].shape == (6, 8)


@pytest.mark.parametrize("shape", [(7, 9), (32, 20), (64, 64)])
def test_the_detail_lies_inside_the_image(shape):
    rng = np.random.default_rng(0)
    images = {"zero_filled": rng.random(shape)}
    rows, cols = recon.detail_window(
        inputs.ExampleImage(4.0, None, None, rng.random(shape), None, images)
    )
    assert 0 <= rows.start < rows.stop <= shape[0]
    assert 0 <= cols.start < cols.stop <= shape[1]


def test_the_error_factor_keeps_the_errors_in_scale():
    target = np.ones((10, 10))
    assert recon.error_factor(target, {"net": target + 0.04}) == 20
    assert recon.error_factor(target, {"net": target + 0.15}) == 5
    assert recon.error_factor(target, {"net": target + 3.0}) == 1
    assert recon.error_factor(target, {"zero_filled": target + 3.0, "net": target + 0.04}) == 20


def test_the_best_baselines_fill_the_columns():
    names = ["zero_filled", "tv", "a", "b", "c", "d", "e", "derived"]
    scores = {name: (30.0 + i, 0.9) for i, name in enumerate("badec")}
    shown = recon.choose_reconstructors(dict.fromkeys(names, np.zeros(1)), scores)
    assert shown == ["zero_filled", "tv", "c", "d", "e", "derived"]


def test_panels_share_scales_and_carry_the_files_scores(run):
    place = run.examples[0]
    scores = inputs.slice_scores(run.slices, place)
    assert set(scores) == set(place.images)
    figure = recon.draw_reconstructions(place, scores)
    images = [axes.images[0] for axes in figure.axes[: 3 * recon._COLUMNS]]
    grey = [image.get_clim() for image in images[: 2 * recon._COLUMNS]]
    errors = [image.get_clim() for image in images[2 * recon._COLUMNS + 1 :]]
    assert len(set(grey)) == len(set(errors)) == 1
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert f"{scores['derived'][0]:.2f} dB\nSSIM {scores['derived'][1]:.4f}" in labels
    assert any(label.startswith("mask: ") for label in labels)


def test_scores_are_optional():
    figure = recon.draw_reconstructions(example(), {})
    assert not any("dB" in axes.get_xlabel() for axes in figure.axes)


def test_tradeoff_labels_do_not_overlap(run_dir):
    figure = tradeoff.draw_tradeoff(read_json(run_dir / "metrics.json"))
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
        assert len(boxes) == 8
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_tradeoff_separates_networks_in_the_same_place():
    rows = [
        {
            "model": name,
            "acceleration": "all",
            "params": 1e5 * (1 + i / 50),
            "macs": 1e10,
            "psnr": {"mean": 30 + i / 100, "std": 1.0},
        }
        for i, name in enumerate(["dccnn", "modl", "rdn", "derived"])
    ] + [
        {
            "model": "unet",
            "acceleration": "all",
            "params": 3e6,
            "macs": 2e10,
            "psnr": {"mean": 31.0, "std": 1.0},
        }
    ]
    figure = tradeoff.draw_tradeoff({"rows": rows})
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.fixture(scope="module")
def clients(federated_dir):
    """The run's files, and one example."""
    run = inputs.read_run(federated_dir)
    return run, next(e for e in run.examples if e.client == "cc359" and e.acceleration == 8)


def test_a_client_shows_every_method_in_columns_that_fit(clients):
    run, place = clients
    scores = inputs.slice_scores(run.slices, place)
    figure = recon.draw_client(place, scores)
    panels = [axes for axes in figure.axes if axes.images]
    pictures, errors = panels[0::2], panels[1::2]
    assert len(pictures) == len(errors) == 1 + len(place.images)
    methods = recon.order_methods(place.images)
    assert methods[:2] == ["zero_filled", "tv"]
    assert methods[-1] == "derived/fedautomri"
    for axes, below, method in zip(pictures[1:], errors[1:], methods):
        np.testing.assert_array_equal(axes.images[0].get_array(), place.images[method])
        error = np.abs(place.images[method] - place.target)
        np.testing.assert_allclose(below.images[0].get_array(), error, rtol=1e-6)
    lefts = {round(axes.get_position().x0, 6) for axes in panels}
    assert len(lefts) == 6 <= recon.MOST_COLUMNS
    assert len({axes.images[0].get_clim() for axes in pictures}) == 1
    assert len({axes.images[0].get_clim() for axes in errors[1:]}) == 1


def test_titles_of_a_client_say_scores_and_mark_the_best(clients):
    run, place = clients
    scores = inputs.slice_scores(run.slices, place)
    figure = recon.draw_client(place, scores)
    lines = [text for axes in figure.axes for text in axes.texts]
    written = [text.get_text() for text in lines]
    for psnr, ssim in scores.values():
        assert f"{psnr:.2f} dB, {ssim:.4f}" in written
    best = max(psnr for psnr, _ in scores.values())
    bold = [text.get_text() for text in lines if text.get_fontweight() == "bold"]
    assert any(line.startswith(f"{best:.2f} dB") for line in bold)
    assert sum("dB" in line for line in bold) == 1


def test_nothing_overlaps_in_the_bands_of_a_client(clients):
    run, place = clients
    figure = recon.draw_client(place, inputs.slice_scores(run.slices, place))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [Text.get_window_extent(t, renderer) for axes in figure.axes for t in axes.texts]
    labels = [axes.xaxis.label for axes in figure.axes if axes.get_xlabel()]
    texts += [label.get_window_extent(renderer) for label in labels]
    panels = [axes.get_window_extent(renderer) for axes in figure.axes if axes.images]
    boxes = [*texts, *panels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_few_methods_stand_in_one_band():
    place = example()
    figure = recon.draw_client(place, {})
    tops = {round(axes.get_position().y1, 6) for axes in figure.axes}
    assert len(tops) == 2
