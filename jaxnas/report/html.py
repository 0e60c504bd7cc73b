"""One self-contained `report.html` for a run: tables, figures, configuration, genotype."""

import base64
import json
import struct
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import jaxnas
from jaxnas.core.files import write_atomic
from jaxnas.report import gallery, tables
from jaxnas.report.gallery import Picture
from jaxnas.report.inputs import FILES, RunFiles, read_run

CSS = """
:root { --ink: #1f2328; --soft: #5b636d; --rule: #e3e6ea; --accent: #0a5c91; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
body { margin: 0; color: var(--ink); background: #fff;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, header, footer { max-width: 1120px; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.75rem; margin: 0; line-height: 1.2; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-top: .75rem;
     border-top: 1px solid var(--rule); }
section:first-child h2 { border-top: 0; margin-top: 1rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); font-size: .93rem; }
.subtitle, figcaption, caption, .note, footer { color: var(--soft); }
.subtitle { margin: .3rem 0 1rem; }
nav { position: sticky; top: 0; background: rgba(255, 255, 255, .96); z-index: 1;
      border-bottom: 1px solid var(--rule); }
nav ul { max-width: 1120px; margin: 0 auto; padding: .6rem 1.5rem; list-style: none;
         display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .93rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 1.25rem 0 1.75rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { font-size: .9rem; max-width: 62rem; margin: .6rem auto 0; }
.table { overflow-x: auto; margin: 1rem 0 1.5rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem;
        font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .45rem; font-size: .93rem; }
th, td { padding: .36rem .5rem; text-align: right; white-space: nowrap; }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink); }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
tbody tr:hover { background: #f6f8fa; }
tbody th { font-weight: 400; }
th:first-child { text-align: left; }
pre { background: #f6f8fa; border: 1px solid var(--rule); border-radius: 6px; padding: .9rem 1rem;
      overflow-x: auto; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
.note { font-size: .93rem; }
footer { font-size: .85rem; padding-top: 2rem; padding-bottom: 2.5rem; }
@media print { nav { display: none; } figure, .table { break-inside: avoid; } }
"""

NOT_BASELINES = ("derived", "supernet", "zero_filled", "tv")
SCREEN_DPI = 110
COST_NOTE = (
    "MACs are multiply–accumulates for one slice; FLOPs, as the NAS-CSMRI paper counts them, are "
    "MACs plus biases, and + act. adds the activations."
)
VOLUME_SUMMARY = (
    "The same models under fastMRI's convention: whole volumes, data range = maximum of the volume"
)
SECTIONS = {
    "summary": "Summary",
    "results": "Results",
    "images": "Reconstructions",
    "cell": "Searched cell",
    "search": "Search",
    "training": "Training",
    "time": "Time",
    "configuration": "Configuration",
    "genotype": "Genotype",
    "missing": "Not in this run",
}
NEEDS = {
    "results": "metrics.json",
    "images": "examples.npz",
    "cell": "genotype.json",
    "search": "alphas.json",
    "training": "log.jsonl",
    "time": "timings.json",
    "configuration": "config.yaml",
    "genotype": "genotype.json",
}


def write_report(run_dir: str | Path) -> Path:
    """Writes `figures/*.png` and then `report.html` of a run, each atomically; returns its path.

    Whatever the run directory holds is shown, and what it lacks is said. A missing directory or
    a malformed file raises UserError.
    """
    run = read_run(run_dir)
    pictures = list(gallery.draw_figures(run))
    for picture in pictures:
        write_atomic(run.path / "figures" / f"{picture.name}.png", picture.png)
    return write_atomic(run.path / "report.html", render(run, pictures))


def render(run: RunFiles, pictures: Iterable[Picture]) -> str:
    """The whole page as text; it refers to nothing outside itself."""
    pictures = list(pictures)
    parts = _texts(run)
    sections = []
    for name, title in SECTIONS.items():
        figures = "\n".join(_figure(p) for p in pictures if p.section == name)
        body = "\n".join(filter(None, [parts.get(name, ""), figures])) or _absent(name, run)
        if body:
            sections.append((name, title, body))
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    content = "\n".join(
        f'<section id="{name}"><h2>{title}</h2>\n{body}\n</section>'
        for name, title, body in sections
    )
    run_name = escape(run.path.resolve().name)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{run_name} · jaxnas report</title>
<style>{CSS}</style>
</head>
<body>
<header><h1>{run_name}</h1>
<p class="subtitle">{escape(_subtitle(run))}</p></header>
<nav aria-label="Contents"><ul>{links}</ul></nav>
<main>
{content}
</main>
<footer>Written by jaxnas {jaxnas.__version__}. All numbers are read from the files of the run
directory; rebuild this page with <code>jaxnas report {run_name}</code>.</footer>
</body>
</html>
"""


def summarise(metrics: dict[str, Any]) -> list[str]:
    """What the evaluation says, in sentences: the derived network, and the best baseline."""
    rows = [
        r
        for r in metrics["rows"]
        if r["acceleration"] == "all" and tables.mean_of(r.get("psnr")) is not None
    ]
    derived = next((r for r in rows if r["model"] == "derived"), None)
    baselines = [r for r in rows if r["model"] not in NOT_BASELINES]
    best = max(baselines, key=lambda r: tables.mean_of(r["psnr"]), default=None)
    lines = []
    if derived:
        lines.append(f"The searched network reaches {_score(derived)} with {_cost(derived)}.")
    if best:
        lines.append(
            f"The best baseline, {tables.row_name(best)}, reaches {_score(best)} "
            f"with {_cost(best)}."
        )
    if derived and best:
        gap = tables.mean_of(derived["psnr"]) - tables.mean_of(best["psnr"])
        lines.append(f"The difference in mean PSNR is {gap:+.2f} dB (searched − best baseline).")
    plain = [r for r in rows if r["model"] in ("zero_filled", "tv")]
    if plain:
        scores = ", ".join(f"{tables.row_name(row)} {_score(row)}" for row in plain)
        lines.append(f"Without a network: {scores}.")
    return lines


def _texts(run: RunFiles) -> dict[str, str]:
    """The HTML of every section that is not a figure."""
    name = run.path.resolve().name
    command = f"jaxnas run {name}/config.yaml --workdir {name}-again"
    texts = {}
    if run.metrics:
        lines = "".join(f"<li>{escape(line)}</li>" for line in summarise(run.metrics))
        texts["summary"] = f"<ul>{lines}</ul>" if lines else ""
        texts["results"] = _results(run.metrics)
    if run.config:
        texts["configuration"] = (
            "<p>This command, given beside the run directory, repeats the run in a new one:</p>"
            f"{_pre(command)}"
            f"<p>The resolved configuration, <code>config.yaml</code>:</p>{_pre(run.config)}"
        )
    if run.genotype:
        texts["genotype"] = (
            "<p>Save as a file and pass to <code>jaxnas train --genotype FILE</code>. Every node "
            "lists [operation, input]; input 0 is the output of cell l−2, 1 that of cell l−1, "
            f"2 + i node i (drawn as node i + 1).</p>{_pre(format_genotype(run.genotype))}"
        )
    if run.timings:
        texts["time"] = tables.to_html(tables.timing_table(run.timings))
    if run.missing:
        items = "".join(f"<li><code>{name}</code>: {FILES[name]}</li>" for name in run.missing)
        texts["missing"] = f"<ul>{items}</ul>"
    return texts


def format_genotype(genotype: dict[str, Any]) -> str:
    """The genotype as JSON with one line per node."""
    cells = ",\n".join(
        f"    {json.dumps(cell)}: [\n"
        + ",\n".join(f"      {json.dumps(node)}" for node in nodes)
        + "\n    ]"
        for cell, nodes in genotype["cells"].items()
    )
    texts = {k: json.dumps(v) for k, v in genotype.items()} | {"cells": f"{{\n{cells}\n  }}"}
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {text}" for k, text in texts.items()) + "\n}"


def _results(metrics: dict[str, Any]) -> str:
    note = f"Convention: {metrics['convention']}." if metrics.get("convention") else ""
    volumes = "\n".join(map(tables.to_html, tables.volume_tables(metrics)))
    folded = f"<details><summary>{VOLUME_SUMMARY}</summary>\n{volumes}</details>"
    return (
        f'<p class="note">{escape(note)} {COST_NOTE} '
        "Bold is the best value of a column.</p>\n"
        + "\n".join(map(tables.to_html, tables.method_tables(metrics)))
        + (folded if volumes else "")
    )


def _absent(name: str, run: RunFiles) -> str:
    """One sentence on why a section is empty; nothing for sections that need no file."""
    if name not in NEEDS:
        return ""
    file = NEEDS[name]
    reason = f"has no <code>{file}</code>" if file in run.missing else f"has nothing in {file}"
    return f'<p class="note">The run directory {reason}, {FILES[file]}.</p>'


def _figure(picture: Picture) -> str:
    width, height = (
        n * SCREEN_DPI // gallery.DPI for n in struct.unpack(">II", picture.png[16:24])
    )
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure><img width="{width}" height="{height}" alt="{escape(picture.caption)}" '
        f'src="data:image/png;base64,{data}">\n'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _subtitle(run: RunFiles) -> str:
    metrics = run.metrics or {}
    parts = [metrics.get("task"), (run.genotype or {}).get("space"), metrics.get("data")]
    return " · ".join(str(part) for part in parts if part) or "No evaluation yet"


def _score(row: dict[str, Any]) -> str:
    ssim = tables.mean_of(row.get("ssim"))
    text = f"{tables.mean_of(row['psnr']):.2f} dB"
    return text if ssim is None else f"{text} (SSIM {ssim:.4f})"


def _cost(row: dict[str, Any]) -> str:
    return (
        f"{tables.short_number(row.get('params'))} parameters and "
        f"{tables.short_number(row.get('macs'))} MACs"
    )


def _pre(text: str) -> str:
    return f"<pre>{escape(text.rstrip())}</pre>"
