"""Clients over the rounds, the maps of the search, and how far clients lie apart."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from jaxnas.report import curves, heat, inputs, rounds, spread, style
from tests.report.fake_federated import CLIENTS, ROUNDS, SEARCH_ROUNDS, TRAINED

LABELS = {"non_fed": "Non-Fed", "fedavg": "FedAvg", "fedautomri": "FedAutoMRI"}


def dot(line):
    """True for the mark of one client."""
    return line.get_marker() == "o"


@pytest.fixture(scope="module")
def run(federated_dir):
    return inputs.read_run(federated_dir)


def test_a_client_has_no_value_at_rounds_that_it_missed(run):
    train, valid = rounds.search_curves(run.log, run.clients)
    assert set(train.clients) == set(valid.clients) == set(CLIENTS)
    steps, values = train.clients["siat"]
    missed = set(range(1, SEARCH_ROUNDS + 1)) - set(steps.astype(int))
    assert missed == set(range(20, 26))
    logged = [r["train_loss/siat"] for r in run.log if "train_loss/siat" in r]
    np.testing.assert_array_equal(values, logged)
    np.testing.assert_array_equal(
        train.mean[1], [r["train_loss"] for r in run.log if "train_loss" in r]
    )


def test_every_method_has_a_panel_and_every_client_a_line(run):
    panels = rounds.method_curves(run.log, "loss", run.clients, of="train")
    figure = rounds.draw_losses(panels, run.clients)
    assert len(figure.axes) == len(TRAINED)
    colours = style.client_colours(run.clients)
    for axes, panel in zip(figure.axes, panels):
        assert axes.get_title(loc="left") == panel.title
        assert len(axes.lines) == len(CLIENTS) + 1
        assert [line.get_color() for line in axes.lines[:-1]] == [colours[c] for c in CLIENTS]
        assert axes.lines[-1].get_linewidth() > 2 * axes.lines[0].get_linewidth()
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_the_worst_client_is_named_in_its_colour(run):
    panels = rounds.method_curves(run.log, "psnr", run.clients, of="valid")
    figure = rounds.draw_scores(panels, run.clients)
    for axes, panel in zip(figure.axes, panels):
        ends = {client: values[-1] for client, (_, values) in panel.clients.items()}
        worst = min(ends, key=ends.get)
        (text,) = axes.texts
        assert text.get_text() == f"worst: {worst}"
        assert same_color(text.get_color(), style.client_colours(run.clients)[worst])


def test_the_worst_is_judged_at_the_end():
    steps = np.arange(20.0)
    falling, rising = 10 - 0.5 * steps, 0.4 * steps
    panel = rounds.Curves("", (steps, rising), {"a": (steps, falling), "b": (steps, rising)})
    assert rounds.worst_of(panel, max) == "b"
    assert rounds.worst_of(panel, min) == "a"


def test_names_of_clients_do_not_confuse_quantities():
    record = {"step": 1, "loss/valid_psnr": 7.0, "loss": 2.0, "valid_psnr": 30.0}
    assert curves.series([record], "loss", of="train")[1] == [2.0]
    assert curves.series([record], "psnr", of="valid")[1] == [30.0]
    panel = rounds.client_curves("", [record], "loss", ["valid_psnr"], of="train")
    assert panel.clients["valid_psnr"][1] == [7.0]


def test_dropped_updates_are_counted_over_the_rounds(run):
    assert rounds.dropped_updates(run.log) == {"fastmri_unet/fedprox": 3}
    rows = [{"model": "a/b", "step": 10, "dropped": 0.3}, {"model": "a/b", "step": 15}]
    assert rounds.dropped_updates([*rows, {"model": "a/b", "step": 20, "dropped": 0.1}]) == {
        "a/b": 4
    }
    assert rounds.dropped_updates([{"model": "a/b", "step": 10, "dropped": 0.0}]) == {}
    search = {"stage": "search", "model": "csmri_a", "step": 10, "dropped": 0.2}
    assert rounds.dropped_updates([search]) == {"search": 2}


def test_a_crowd_is_grey_but_for_its_worst():
    clients = [f"c{i}" for i in range(12)]
    steps = np.arange(5.0)
    own = {client: (steps, steps * 0 + 1 + i) for i, client in enumerate(clients)}
    panel = rounds.Curves("net", (steps, steps * 0 + 5), own)
    (axes,) = rounds.draw_losses([panel], clients).axes
    colours = [line.get_color() for line in axes.lines[:-1]]
    assert colours == [style.CROWD] * 11 + [style.VERMILLION]
    assert axes.texts[0].get_text() == "worst: c11"


def test_the_overview_has_a_line_per_method(run):
    left, right = curves.draw_training(run.log, unit="round").axes
    assert len(left.lines) == len(right.lines) == len(TRAINED)
    assert left.get_xlabel() == "round"
    assert max(left.lines[0].get_xdata()) == ROUNDS


def test_methods_of_federated_runs_are_told_apart():
    keys = [*TRAINED, "unet/fedavg", "unet/gamma_09", "unet/gamma_05", "derived/gamma_09", "tv"]
    sweep = [f"derived/gamma_0{i}" for i in range(1, 9)]
    assert len(set(style.pens(sweep).values())) == len(sweep)
    pens = style.pens(keys)
    assert set(pens) == set(keys)
    assert len(set(pens.values())) == len(keys)
    assert pens["derived/fedavg"].colour == pens["unet/fedavg"].colour


def test_the_maps_are_the_weights(run):
    figure = heat.draw_weight_maps(run.alphas, "normal", chosen=run.genotype["cells"]["normal"])
    edges = run.alphas["cells"]["normal"]
    assert len(figure.axes) == len(edges) + 1 == 10
    weights = np.array([h["weights"]["normal"] for h in run.alphas["history"]])
    operations = run.alphas["operations"]
    for index, (axes, (node, source)) in enumerate(zip(figure.axes, edges)):
        (mesh,) = axes.collections
        np.testing.assert_array_equal(mesh.get_array().reshape(8, -1), weights[:, index].T)
        picks = run.genotype["cells"]["normal"][node]
        kept = {operations.index(op) for op, i in picks if i == source}
        assert {int(frame.get_y()) for frame in axes.patches} == kept
        assert len(kept) == 2
    assert len({axes.collections[0].get_clim() for axes in figure.axes[:-1]}) == 1
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == operations
    heights = [t.get_window_extent().height for t in figure.axes[0].get_yticklabels()]
    assert max(heights) < figure.axes[0].bbox.height / len(operations)


def test_undecided_weights_are_white(run):
    """Small changes stay pale: the scale ends at a quarter above and below 1/8 or further out."""
    record = run.alphas["history"][0]
    even = {"normal": [[1 / 8] * 8] * 9}
    figure = heat.draw_weight_maps(run.alphas | {"history": [record | {"weights": even}]}, "normal")
    mesh = figure.axes[0].collections[0]
    colours = mesh.to_rgba(mesh.get_array())
    assert colours.min() > 0.95
    assert mesh.get_clim() == (0.75 / 8, 1.25 / 8)


def test_a_map_can_have_one_record(run):
    alphas = run.alphas | {"history": run.alphas["history"][:1]}
    assert len(heat.draw_weight_maps(alphas, "normal").axes) == 10


def test_dots_stand_where_the_metrics_say(run):
    left, _ = spread.draw_spread(run.metrics, run.clients).axes
    names = [tick.get_text() for tick in left.get_yticklabels()]
    dots = {(line.get_ydata()[0], line.get_color()): line for line in left.lines if dot(line)}
    colours = style.client_colours(run.clients)
    for row in run.metrics["rows"]:
        if row["acceleration"] == "all" and row["client"] != "all" and row["model"] == "derived":
            y = names.index(f"searched · {LABELS[row['strategy']]}")
            assert dots[y, colours[row["client"]]].get_xdata()[0] == row["psnr"]["mean"]
    assert len(dots) == len(names) * len(CLIENTS)


def test_the_lowest_of_a_crowd_is_named():
    rows = [
        {
            "model": "unet",
            "strategy": "fedavg",
            "client": f"c{i}",
            "acceleration": "all",
            "psnr": {"mean": 30 + (i - 4) ** 2, "std": 1.0},
        }
        for i in range(12)
    ]
    left, _ = spread.draw_spread({"rows": rows}, [row["client"] for row in rows]).axes
    assert [text.get_text() for text in left.texts] == ["c4"]
    marked = [line for line in left.lines if line.get_color() == style.VERMILLION]
    assert [line.get_xdata()[0] for line in marked] == [30]


def test_relative_scores_of_a_client_cancel(run):
    _, right = spread.draw_spread(run.metrics, run.clients).axes
    for colour in style.client_colours(run.clients).values():
        found = [
            line.get_xdata()[0] for line in right.lines if dot(line) and line.get_color() == colour
        ]
        assert len(found) == len(TRAINED)
        assert sum(found) == pytest.approx(0, abs=1e-9)
