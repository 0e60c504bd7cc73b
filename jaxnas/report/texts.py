"""The content of the sections of a report beside their figures, as HTML."""

import dataclasses
import json
from collections.abc import Iterable
from html import escape
from typing import Any

from jaxnas.report import federated, gallery, summary, tables, traffic
from jaxnas.report import overlaps as segmentation
from jaxnas.report.cells import TREE_SPACE
from jaxnas.report.federated import (
    client_dice_table,
    labeled_roster_table,
    pooled,
)
from jaxnas.report.inputs import RunFiles
from jaxnas.report.latency import latency_table
from jaxnas.report.names import entry_name
from jaxnas.report.payoff import summarise_selection
from jaxnas.report.rounds import dropped_updates
from jaxnas.report.selection import Selection, selection_table

COST_NOTE = (
    "MACs are multiply–accumulates for one slice; FLOPs, as the NAS-CSMRI paper counts them, are "
    "MACs plus biases, and + act. adds the activations."
)
CLIENTS_NOTE = (
    "Every method is scored on the test slices of every client, with the model that this client "
    "would use; “all” pools the slices, so that a client counts by its number of slices. MACs are "
    "multiply–accumulates for one slice of the first client, FLOPs are MACs plus biases, and "
    "+ act. adds the activations, as Table 2 of FedAutoMRI does."
)
DISTANCES, EJECTION = "Hausdorff distances, empty classes", ", ejection fractions"
VOLUME_SUMMARY = (
    "The same models under fastMRI's convention: whole volumes, data range = maximum of the volume"
)
NUMBERING = {
    "reconstruction": (
        "input 0 is the output of cell l−2, 1 that of cell l−1, 2 + i node i (drawn as node i + 1)."
    ),
    TREE_SPACE: "input 0 is what the cells before have left, i is node i of the cell.",
    "segmentation": (
        "input 0 is the input of the cell, i its node i. A path lists the scale of the feature map "
        "before every layer and after the last one."
    ),
}
SELECTION_NOTE = (
    "Every candidate is trained once, from one seed; the best at a rung are trained on. Scores are "
    "those of the validation volumes, by which candidates were chosen: they flatter the one that "
    "was. Random candidates are drawn uniformly, a neighbour differs by one operation from a "
    "searched or a hand-made network, other origins are hand-made networks."
)
UNFINISHED_NOTE = "The selection is not finished: no candidate is selected."
LIMITS_NOTE = (
    "Bold is the best value of a column; red values marked † break a limit: at most "
    "{latency_ms:g} ms, at least {throughput_fps:g} frames a second. LT is the median latency of "
    "one frame, TP the throughput{scope}."
)


def _numbering(run: RunFiles) -> str:
    """The sentence on the inputs of a genotype, by its space or else its task."""
    space = (run.genotype or {}).get("space", "")
    return NUMBERING.get(space, NUMBERING.get(run.task, ""))


def section_texts(run: RunFiles) -> dict[str, str]:
    """The HTML of every section of the page that the run has something to say about."""
    if run.task not in NUMBERING:
        texts = _generic_texts(run)
    elif run.task == "segmentation":
        texts = _labeled_client_texts(run) if run.federated else _segmentation_texts(run)
    else:
        texts = _client_texts(run) if run.federated else _site_texts(run)
        if run.latency:
            texts["latency"] = tables.to_html(latency_table(run.latency))
    if run.selection:
        lines = summarise_selection(run.selection, run.metrics)
        opening = f"<p>{escape(' '.join(lines))}</p>" if lines else ""
        texts["summary"] = opening + texts.get("summary", "")
        texts["selection"] = _selection_text(run.selection)
    if run.calibration and run.calibration.get("warning"):
        warning = f'<p class="note">{escape(run.calibration["warning"])}.</p>'
        texts["latency"] = texts.get("latency", "") + warning
    if run.config:
        name = run.path.resolve().name
        command = f"jaxnas run {name}/config.yaml --workdir {name}-again"
        texts["configuration"] = (
            "<p>This command, given beside the run directory, repeats the run in a new one:</p>"
            f"{_pre(command)}"
            f"<p>The resolved configuration, <code>config.yaml</code>:</p>{_pre(run.config)}"
        )
    if run.genotype:
        texts["genotype"] = (
            "<p>Save as a file and pass to <code>jaxnas train --genotype FILE</code>. Every node "
            f"lists [operation, input]; {_numbering(run)}</p>"
            f"{_pre(format_genotype(run.genotype))}"
        )
    if run.missing:
        lines = (
            f"<code>{run.file_name(entry)}</code>: {escape(run.expected[entry])}"
            for entry in run.missing
        )
        texts["missing"] = _list(lines)
    return texts


def format_genotype(genotype: dict[str, Any]) -> str:
    """The genotype as JSON with one line per node."""
    texts = {key: json.dumps(value) for key, value in genotype.items()}
    for key in ("cells", "weights"):
        if isinstance(genotype.get(key), dict):
            cells = ",\n".join(
                f"    {json.dumps(cell)}: [\n"
                + ",\n".join(f"      {json.dumps(node)}" for node in nodes)
                + "\n    ]"
                for cell, nodes in genotype[key].items()
            )
            texts[key] = f"{{\n{cells}\n  }}"
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {text}" for k, text in texts.items()) + "\n}"


def _generic_texts(run: RunFiles) -> dict[str, str]:
    """The texts of a task that this page knows nothing of: a table of whatever its rows say."""
    texts = {}
    if run.metrics:
        shown = tables.to_html(tables.plain_table(run.metrics["rows"]))
        convention = run.metrics.get("convention")
        note = f'<p class="note">Convention: {escape(convention)}.</p>' if convention else ""
        texts["results"] = note + shown
    if run.communication:
        texts["communication"] = tables.to_html(traffic.communication_table(run.communication))
    if run.timings:
        timings = tables.to_html(tables.timing_table(run.timings))
        texts["time"] = _round_times(run.timings) if run.federated else timings
    return texts


def _selection_text(selection: Selection) -> str:
    notes = [SELECTION_NOTE] if selection.selected else [UNFINISHED_NOTE, SELECTION_NOTE]
    said = "".join(f'<p class="note">{note}</p>' for note in notes)
    return said + tables.to_html(selection_table(selection))


def _site_texts(run: RunFiles) -> dict[str, str]:
    """The texts particular to a run at one site."""
    texts = {}
    if run.metrics:
        texts["summary"] = _list(map(escape, summary.summarise_run(run.metrics)))
        texts["results"] = (
            f"{_note(run.metrics, COST_NOTE)}\n{_tables(tables.method_tables(run.metrics))}"
            f"{_folded(VOLUME_SUMMARY, tables.volume_tables(run.metrics))}"
        )
    if run.timings:
        texts["time"] = tables.to_html(tables.timing_table(run.timings))
    return texts


def _segmentation_texts(run: RunFiles) -> dict[str, str]:
    """The texts particular to a segmentation run."""
    texts = {}
    if run.metrics:
        lines = segmentation.summarise_segmentation(run.metrics)
        texts["summary"] = _list(map(escape, lines))
        shown = [
            segmentation.decoder_table(run.metrics),
            segmentation.network_table(run.metrics),
            segmentation.fold_table(run.metrics),
        ]
        hidden = [segmentation.distance_table(run.metrics)]
        drawn = segmentation.random_table(run.metrics)
        texts["results"] = "\n".join(
            [
                _limits_note(run.metrics),
                _tables(table for table in shown if table),
                _folded(DISTANCES + EJECTION * segmentation.is_cardiac(run.metrics), hidden),
                _folded("Random architectures", [drawn] if drawn else []),
            ]
        )
        if timed := segmentation.latency_tables(run.metrics):
            texts["latency"] = _tables(timed)
    if run.timings:
        texts["time"] = tables.to_html(tables.timing_table(run.timings))
    return texts


def _labeled_client_texts(run: RunFiles) -> dict[str, str]:
    """The texts particular to a segmentation across clients."""
    metrics = run.metrics and pooled(run.metrics)
    texts = _segmentation_texts(dataclasses.replace(run, metrics=metrics))
    if run.roster:
        texts["clients"] = tables.to_html(labeled_roster_table(run.roster))
    if run.metrics:
        texts["results"] = tables.to_html(client_dice_table(run.metrics)) + texts["results"]
    if run.communication:
        texts["communication"] = tables.to_html(traffic.communication_table(run.communication))
    if run.timings:
        texts["time"] = _round_times(run.timings)
    return texts


def _round_times(timings: dict[str, Any]) -> str:
    named = {entry_name(key.removeprefix("train ")): v for key, v in timings.items()}
    return tables.to_html(tables.timing_table(named, unit="round"))


def _limits_note(metrics: dict[str, Any]) -> str:
    timed = [row["latency_ms"] for row in metrics["rows"] if row.get("latency_ms")]
    words = {segmentation.SCOPES.get(x["scope"], x["scope"]) for x in timed}
    scope = f", of the {words.pop()}" if len(words) == 1 else ""
    text = LIMITS_NOTE.format(**segmentation.limits_of(metrics), scope=scope)
    convention = f"Convention: {metrics['convention']}. " if metrics.get("convention") else ""
    return f'<p class="note">{escape(convention + text)}</p>'


def _client_texts(run: RunFiles) -> dict[str, str]:
    """The texts particular to a federated run."""
    lines = summary.summarise_clients(run.metrics, run.communication)
    texts = {"summary": _list(map(escape, lines))}
    if run.roster:
        texts["clients"] = tables.to_html(federated.roster_table(run.roster))
    if run.metrics:
        texts["results"] = _client_results(run.metrics, run.communication)
    if run.communication:
        texts["communication"] = tables.to_html(traffic.communication_table(run.communication))
    if dropped := dropped_updates(run.log):
        counts = ", ".join(f"{entry_name(key)} {count}" for key, count in dropped.items())
        texts["training"] = (
            '<p class="note">Updates that were not finite and left out of the averages: '
            f"{escape(counts)}.</p>"
        )
    seen = len(gallery.pictured(run))
    if seen and seen < len(run.clients):
        texts["images"] = f'<p class="note">{seen} of {len(run.clients)} clients.</p>'
    if run.timings:
        texts["time"] = _round_times(run.timings)
    return texts


def _client_results(metrics: dict[str, Any], communication: dict[str, Any] | None) -> str:
    """The papers' tables; what only some readers look for is folded away."""
    found = federated.comparison_tables(metrics, communication=communication)
    shown = [*found[:1], federated.ablation_table(metrics), federated.crowd_table(metrics)]
    spreads = federated.client_tables(metrics)
    volumes = federated.volume_table(metrics)
    return "\n".join(
        [
            _note(metrics, CLIENTS_NOTE),
            _tables(table for table in shown if table),
            _folded("The same at every acceleration", found[1:]),
            _folded("Means and standard deviations, client by client", spreads),
            _folded(VOLUME_SUMMARY, [volumes] if volumes else []),
        ]
    )


def _note(metrics: dict[str, Any], more: str) -> str:
    convention = f"Convention: {metrics['convention']}." if metrics.get("convention") else ""
    return f'<p class="note">{escape(convention)} {more} Bold is the best value of a column.</p>'


def _folded(title: str, hidden: list[tables.Table]) -> str:
    if not hidden:
        return ""
    return f"<details><summary>{title}</summary>\n{_tables(hidden)}</details>"


def _tables(shown: Iterable[tables.Table]) -> str:
    return "\n".join(map(tables.to_html, shown))


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _pre(text: str) -> str:
    return f"<pre>{escape(text.rstrip())}</pre>"
