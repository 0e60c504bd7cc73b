"""Paths on their grid, cells of one input, overlays on their images."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import RunDir
from jaxnas.report import cells, overlays, paths, style
from jaxnas.report import overlap_gallery as segmentation_gallery
from tests.report import fake_overlaps as fake_segmentation
from tests.report.fake_overlaps import CELLS, PATHS


def test_edges_count_the_paths_that_share_a_cell():
    edges = paths.path_edges([[0, 1, 1, 0], [0, 1, 0, 0]])
    assert edges == {(0, 0, 1): 2, (1, 1, 1): 1, (1, 1, 0): 1, (2, 1, 0): 1, (2, 0, 0): 1}


def test_a_line_per_cell_in_the_colour_of_its_type():
    figure = paths.draw_paths(PATHS, scales=4)
    (axes,) = figure.axes
    edges = paths.path_edges(PATHS)
    for kind, step in (("expand", -1), ("keep", 0), ("contract", 1)):
        want = [edge for edge in edges if edge[2] - edge[1] == step]
        drawn = [x for x in axes.lines if same_color(x.get_color(), paths.CELL_COLOURS[kind])]
        assert len(drawn) == len(want) > 0
    faint = [x for x in axes.lines if same_color(x.get_color(), style.LIGHT)]
    # Ten layers of four scales with both ends at scale 0 have 70 cells.
    assert len(faint) + len(edges) == 70
    numbers = sorted(t.get_text() for t in axes.texts if t.get_zorder() == 5)
    assert numbers == sorted(str(count) for count in edges.values() if count > 1)


def test_paths_that_end_anywhere_have_more_cells():
    figure = paths.draw_paths([[0, 1, 2, 2], [0, 0, 0, 0]], scales=3)
    # By hand: 2 + 5 + 7 legal cells of three layers and three scales.
    assert len(figure.axes[0].lines) == 14


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_one_input_are_drawn_without_overlaps(name):
    layout = cells.place_cell(CELLS[name], inputs=1)
    assert layout.tensors.keys() == {0, 1, 2, 3}
    for op in layout.operations:
        assert layout.tensors[op.source][0] < op.x < layout.tensors[1 + op.node][0]
    figure = cells.draw_cell(CELLS[name], frame=paths.CELL_FRAMES[name])
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    frame = figure.bbox
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 for b in boxes)
    written = [t.get_text() for t in figure.axes[0].texts]
    assert "$X_0$" in written and paths.CELL_FRAMES[name].after in written


def test_depths_count_from_the_inputs():
    cell = [[["a", 0]], [["a", 0], ["a", 1]], [["a", 2], ["a", 0]]]
    assert cells.node_depths(cell, inputs=1) == [0, 1, 2]


@pytest.fixture
def example(tmp_path):
    arrays, places = fake_segmentation.hearts(48, np.random.default_rng(0))
    file = RunDir(tmp_path).overlays
    file.write(arrays, places)
    return file, arrays


def test_overlays_come_back_as_they_were_written(example):
    file, arrays = example
    found = overlays.read_overlays(file)
    places = [(o.phase, o.level) for o in found]
    assert places == [(p, l) for p in ("ED", "ES") for l in ("base", "mid", "apex")]
    assert found[1].slice == 4 and found[1].volume == "patient101_ED"
    assert found[1].spacing == (1.4, 1.4)
    np.testing.assert_array_equal(found[4].labels["unet2d"], arrays["ES/mid/unet2d"])
    file.path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match=r"overlays\.npz"):
        overlays.read_overlays(file)


def test_predictions_are_tinted_and_the_truth_outlined(example):
    found = overlays.read_overlays(example[0])[:1]
    figure = overlays.draw_overlays(found, ["unet2d"], ["U-Net 2D"], ["RV", "MYO", "LV"])
    truth, network = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["truth", "U-Net 2D"]
    assert len(truth.images) == 1 and len(network.images) == 2
    tint = network.images[1].get_array()
    box = overlays._box(found)
    labels = found[0].labels["unet2d"][box]
    for label in (1, 2, 3):
        inside, colour = tint[labels == label], overlays.label_colour(label)
        assert len(inside) and all(same_color(pixel[:3], colour) for pixel in inside[:5])
    assert not tint[labels == 0].any()


def test_the_window_shows_the_whole_heart_in_millimetres(example):
    found = overlays.read_overlays(example[0])
    rows, columns = overlays._box(found)
    for o in found:
        assert np.count_nonzero(o.truth[rows, columns]) == np.count_nonzero(o.truth)
    empty = overlays.Overlay("ED", "mid", np.ones((9, 7)), np.zeros((9, 7), np.uint8), {})
    overlays.draw_overlays([empty], [], [], [])


def test_shown_are_the_best_of_every_kind():
    rows = fake_segmentation.metrics(np.random.default_rng(0), random=0)["rows"]
    limits = {"latency_ms": 50.0, "throughput_fps": 22.0}
    ranked = [row["model"] for row in segmentation_gallery._ranked(rows, limits)]
    assert ranked[:4] == [
        "derived_constrained_45",
        "derived_ga_7",
        "derived_dijkstra_7",
        "unet2d",
    ]
    assert sorted(ranked) == sorted(row["model"] for row in rows)
    shown = overlays.choose_segmenters([row["model"] for row in rows], ranked, most=4)
    assert shown == ["unet2d", "derived_dijkstra_7", "derived_ga_7", "derived_constrained_45"]
