"""One self-contained `report.html` for a run: tables, figures, configuration, genotype."""

import base64
import struct
from collections.abc import Iterable
from html import escape
from pathlib import Path

import jaxnas
from jaxnas.core.files import write_atomic
from jaxnas.engine.rundir import RunDir
from jaxnas.report import gallery
from jaxnas.report.gallery import Picture
from jaxnas.report.inputs import RunFiles, read_run
from jaxnas.report.style import check_drawing
from jaxnas.report.texts import section_texts

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
.dense { margin-inline: clamp(-4rem, calc((1120px - 100vw) / 2), 0px); }
.dense table { font-size: .78rem; }
.dense th, .dense td { padding: .36rem .25rem; }
th.edge, td.edge { padding-left: .8rem; }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink); }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
tbody tr:hover { background: #f6f8fa; }
tbody th { font-weight: 400; }
.groups th { text-align: center; border-bottom: 0; padding-bottom: 0; }
.groups + tr th { border-top: 0; }
th:first-child { text-align: left; }
pre { background: #f6f8fa; border: 1px solid var(--rule); border-radius: 6px; padding: .9rem 1rem;
      overflow-x: auto; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
.broken { color: #b3261e; }
.note { font-size: .93rem; }
footer { font-size: .85rem; padding-top: 2rem; padding-bottom: 2.5rem; }
@media print { nav { display: none; } figure, .table { break-inside: avoid; } }
"""

SCREEN_DPI = 110
SECTIONS = {
    "summary": "Summary",
    "clients": "Clients",
    "results": "Results",
    "communication": "Communication",
    "latency": "Latency",
    "images": "Reconstructions",
    "cell": "Searched cell",
    "search": "Search",
    "selection": "Selection",
    "training": "Training",
    "time": "Time",
    "configuration": "Configuration",
    "genotype": "Genotype",
    "missing": "Not in this run",
}
SEGMENTATION_TITLES = {"images": "Segmentations", "cell": "Searched cells and paths"}
NEEDS = {  # the first that belongs to such a run
    "clients": ("clients",),
    "results": ("metrics",),
    "communication": ("communication",),
    "images": ("examples", "every_client", "overlays"),
    "latency": ("latency", "calibration"),
    "cell": ("genotype",),
    "search": ("alphas",),
    "selection": ("candidates",),
    "training": ("log",),
    "time": ("timings",),
    "configuration": ("config",),
    "genotype": ("genotype",),
}


def write_report(run_dir: str | Path) -> Path:
    """Writes `figures/*.png` and then `report.html` of a run, each atomically; returns its path.

    Whatever the run directory holds is shown, and what it lacks is said. A missing directory or
    a malformed file raises UserError.
    """
    check_drawing()
    run, files = read_run(run_dir), RunDir(Path(run_dir))
    pictures = list(gallery.draw_figures(run))
    for picture in pictures:
        write_atomic(files.figure(picture.name), picture.png)
    return files.report.write(render_report(run, pictures))


def render_report(run: RunFiles, pictures: Iterable[Picture]) -> str:
    """The whole page as text; it refers to nothing outside itself."""
    pictures = list(pictures)
    parts = section_texts(run)
    sections = []
    titles = SECTIONS | (SEGMENTATION_TITLES if run.task == "segmentation" else {})
    for name, title in titles.items():
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


def _absent(name: str, run: RunFiles) -> str:
    """One sentence on why a section is empty; nothing for sections that need no file."""
    file = next((file for file in NEEDS.get(name, ()) if file in run.expected), None)
    if file is None:
        return ""
    shown = run.file_name(file)
    reason = f"has no <code>{shown}</code>" if file in run.missing else f"has nothing in {shown}"
    return f'<p class="note">The run directory {reason}, {run.expected[file]}.</p>'


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
