"""The cell diagram: no two boxes, nodes or lines on top of one another, whatever the genotype."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import FancyArrowPatch

from jaxnas.report import cells

OPERATIONS = [f"{kind}_conv_{k}x{k}" for kind in ("std", "sep", "dil_2") for k in (3, 5, 7)]


def random_cell(nodes, seed):
    """Two operations per node, as NAS-CSMRI."""
    rng = np.random.default_rng(seed)
    return [
        [[str(rng.choice(OPERATIONS)), int(rng.integers(2 + node))] for _ in range(2)]
        for node in range(nodes)
    ]


def dense_cell(nodes):
    """Two operations per edge and every edge, as FedAutoMRI."""
    names = itertools.cycle(OPERATIONS)
    return [
        [[next(names), source] for source in range(2 + node) for _ in range(2)]
        for node in range(nodes)
    ]


CELLS = [random_cell(n, seed) for n in (2, 3, 4) for seed in range(4)] + [
    dense_cell(3),
    dense_cell(4),
    [[["skip_connect", 0]], [["skip_connect", 2]]],
]


@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_every_operation_has_its_own_row(cell):
    layout = cells.place_cell(cell)
    rows = sorted(op.y for op in layout.operations)
    assert len(rows) == sum(map(len, cell))
    assert min(np.diff(rows)) >= cells.ROW - 1e-9 > cells.BOX_HEIGHT


@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_nodes_keep_clear_of_foreign_rows(cell):
    """A line to a later node runs along its row: that row must miss the nodes it passes."""
    layout = cells.place_cell(cell)
    for node, (_, y) in layout.tensors.items():
        for op in layout.operations:
            if node > 1 and op.node != node - 2:
                assert abs(op.y - y) > cells.NODE_RADIUS


@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_data_flows_from_left_to_right(cell):
    layout = cells.place_cell(cell)
    for op in layout.operations:
        assert layout.tensors[op.source][0] < op.x < layout.tensors[2 + op.node][0]
        assert layout.tensors[2 + op.node][0] + cells.NODE_RADIUS < layout.concat_x


def test_depth_is_the_longest_way_from_the_inputs():
    cell = [[["a", 0]], [["a", 2], ["a", 1]], [["a", 0], ["a", 1]], [["a", 3], ["a", 4]]]
    assert cells.node_depths(cell) == [0, 1, 0, 2]


@pytest.mark.parametrize("cell", [random_cell(3, 0), dense_cell(3)], ids=["csmri", "fedautomri"])
def test_labels_fit_their_boxes_and_do_not_overlap(cell):
    figure = cells.draw_cell(cell)
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    inside = cells.BOX_WIDTH * figure.dpi
    named = {t.get_text(): box for t, box in zip(figure.axes[0].texts, boxes)}
    assert all(named[op].width < inside for node in cell for op, _ in node)
    frame = figure.bbox
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 for b in boxes)


def test_weights_stand_in_their_boxes():
    cell = dense_cell(3)
    weights = [
        [round(0.05 + 0.01 * (10 * n + i), 2) for i in range(len(node))]
        for n, node in enumerate(cell)
    ]
    layout = cells.place_cell(cell, weights=weights)
    expected = {
        (n, op, source): share
        for n, node in enumerate(cell)
        for (op, source), share in zip(node, weights[n])
    }
    assert {(op.node, op.name, op.source): op.share for op in layout.operations} == expected
    figure = cells.draw_cell(cell, weights=weights)
    renderer = figure.canvas.get_renderer()
    texts = figure.axes[0].texts
    boxes = [t.get_window_extent(renderer) for t in texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    written = [t.get_text() for t in texts]
    assert all(f"{share:.2f}" in written for share in expected.values())


def test_an_edge_with_two_operations_leaves_its_tensor_once():
    """The line in front of the fork is grey; edges of one operation have its colour."""
    figure = cells.draw_cell(dense_cell(3))
    trunks = [p for p in figure.axes[0].patches if same_color(p.get_edgecolor(), cells.TRUNK)]
    assert len(trunks) == 9
    figure = cells.draw_cell([[["sep_conv_3x3", 0], ["sep_conv_3x3", 1]]])
    assert not any(same_color(p.get_edgecolor(), cells.TRUNK) for p in figure.axes[0].patches)


@pytest.mark.parametrize(
    ("nodes", "ends"),
    [
        ([[["a", 0]], [["b", 1]], [["c", 2]]], 1),
        ([[["a", 0]], [["b", 0]], [["c", 1]]], 2),
        ([[["a", 0]], [["b", 0]], [["c", 0]]], 3),
    ],
)
def test_of_a_tree_only_its_ends_are_added(nodes, ends):
    figure = cells.draw_cell(nodes, frame=cells.TREE_FRAME)
    (axes,) = figure.axes
    join = cells.place_cell(nodes, inputs=1).concat_x
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    entering = [a for a in arrows if np.isclose(a._path_original.vertices[-1, 0], join)]
    assert len(entering) == ends
    texts = [text.get_text() for text in axes.texts]
    assert "add" in texts and "$h$" in texts and "concatenate" not in texts
