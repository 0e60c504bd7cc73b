"""What the curves plot is what the files say."""

import numpy as np
import pytest

from jaxnas.report import curves, inputs, style
from tests.report import fake_run


@pytest.fixture(scope="module")
def run(run_dir):
    return inputs.read_run(run_dir)


def test_entropy_is_one_when_undecided_and_zero_when_decided():
    weights = np.array([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(curves.edge_entropy(weights), [1.0, 0.0, 0.5], atol=1e-12)


def test_smoothing_keeps_constants_lines_and_length():
    line = np.arange(100.0)
    np.testing.assert_allclose(curves.smooth(np.full(100, 3.0)), 3.0)
    np.testing.assert_allclose(curves.smooth(line)[5:-5], line[5:-5])
    assert curves.smooth(np.array([])).shape == (0,)
    np.testing.assert_array_equal(curves.smooth(line[:3]), line[:3])


def test_genotype_changes_count_new_choices():
    def record(step, *ops):
        return {"step": step, "genotype": {"cells": {"normal": [[[op, 0] for op in ops]]}}}

    steps, counts = curves.genotype_changes(
        [record(0, "a", "b"), record(5, "a", "c"), record(9, "c", "a")]
    )
    assert (steps, counts) == ([5, 9], [1, 0])


def test_series_tells_training_from_validation():
    records = [{"step": 1, "loss": 2.0}, {"step": 2, "valid_loss": 3.0, "loss": 1.0}]
    np.testing.assert_array_equal(curves.series(records, "loss", of="train"), [[1, 2], [2, 1]])
    np.testing.assert_array_equal(curves.series(records, "loss", of="valid"), [[2], [3]])
    assert curves.series(records, "psnr", of="valid")[0].size == 0


def test_alphas_have_one_panel_per_edge_and_thick_choices(run):
    nodes = run.genotype["cells"]["normal"]
    figure = curves.draw_alphas(run.alphas, "normal", chosen=nodes)
    edges = run.alphas["cells"]["normal"]
    assert len(figure.axes) == len(edges) == 9
    thick = sum(line.get_linewidth() > 2 for axes in figure.axes for line in axes.lines)
    assert thick == sum(map(len, nodes))
    for axes, (node, source) in zip(figure.axes, edges):
        index = edges.index([node, source])
        last = [line.get_ydata()[-1] for line in axes.lines]
        assert last == run.alphas["history"][-1]["weights"]["normal"][index]


def test_training_draws_every_model_and_the_psnr_only_where_logged(run):
    figure = curves.draw_training(run.log)
    assert [len(axes.lines) for axes in figure.axes] == [8, 8]
    losses = [{k: v for k, v in r.items() if k != "valid_psnr"} for r in run.log]
    assert len(curves.draw_training(losses).axes) == 1


def test_a_random_search_has_candidates_instead_of_an_evolution(run):
    alphas = run.alphas | {"history": [h | {"step": 7} for h in run.alphas["history"]]}
    assert curves.moves(run.alphas)
    assert not curves.moves(alphas)
    right = curves.draw_candidates(alphas, run.log).axes[1]
    assert len(right.lines[0].get_ydata()) == len(alphas["history"])
    assert right.lines[1].get_ydata()[0] == min(h["valid_loss"] for h in alphas["history"])


def test_operations_keep_their_colour_across_spaces():
    a, b = (style.operation_colours(fake_run.OPERATIONS[s]) for s in ("csmri_a", "csmri_b"))
    assert all(a[name] == b[name] for name in a.keys() & b.keys())
    for colours in (a, b, style.operation_colours(["x", "y", *a])):
        assert len(set(colours.values())) == len(colours)


def test_models_are_told_apart():
    pens = style.pens([*fake_run.MODELS, *(f"net_{i}" for i in range(6))])
    assert len(set(pens.values())) == len(pens)


def test_drawing_leaves_the_callers_settings_alone(run):
    import matplotlib

    before = dict(matplotlib.rcParams)
    style.to_png(curves.draw_search(run.alphas, run.log))
    assert dict(matplotlib.rcParams) == before
