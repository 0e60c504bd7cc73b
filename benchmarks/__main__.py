"""The benchmark harness: ours against its peers, case by case, in fresh processes.

    python -m benchmarks --suite cpu
    python -m benchmarks --only supernet inference/csmri_a --json rows.json

Writes benchmarks/results/<suite>.md unless only some rows are asked for. Ratio = ours / peer, below
1 is faster. Peers in environments of their own are named by JAXNAS_FLOWER_PYTHON and its like
(benchmarks/peers/__init__.py).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cases import Case, select
from benchmarks.machine import describe_machine
from benchmarks.rows import Row, byte_share_rows
from benchmarks.suite import VARIABLE, limit_threads
from benchmarks.table import markdown, number

RESULTS = Path(__file__).parent / "results"
THREADS = 2
LIMITS_S = {"cpu": 29 * 60, "gpu": 29 * 60}  # all cases together
CASE_S = 900


def main() -> None:
    """Runs the cases; exit code 1 where one of them gave no figure."""
    about = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=about)
    parser.add_argument("--suite", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=(), help="rows, or their room")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--out", type=Path, help="the Markdown file")
    options = parser.parse_args()
    try:
        cases = select(options.suite, options.only)
    except ValueError as error:
        parser.error(str(error))
    os.environ[VARIABLE] = options.suite
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home  # rates and programs kept by earlier runs do not count
        rows = run_suite(options, cases)
    sys.exit(any(row.ours is None for row in rows))


def run_suite(options: argparse.Namespace, cases: list[tuple[str, Case]]) -> list[Row]:
    """Runs the cases; prints, writes and returns their rows."""
    if options.suite == "cpu":
        limit_threads(THREADS)
    began, rows = time.monotonic(), []
    for module, case in cases:
        left = LIMITS_S[options.suite] - (time.monotonic() - began)
        rows += show(run(module, case, min(CASE_S, left)), options.suite)
    rows += show(byte_share_rows(rows), options.suite)
    machine = describe_machine(options.suite)
    out = options.out or (None if options.only else RESULTS / f"{options.suite}.md")
    if out:
        out.write_text(markdown(rows, options.suite, machine["device"] | machine["versions"]))
    if options.json:
        record = {"rows": [row.to_json(options.suite) for row in rows], **machine}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return rows


def show(rows: list[Row], suite: str) -> list[Row]:
    """Prints the rows and returns them."""
    for row in rows:
        print(line(row, suite), flush=True)
    return rows


def run(module: str, case: Case, seconds: float) -> list[Row]:
    """The rows of one case, each of its names once; what it did not give is noted as missing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.touch()
        reason = _run(module, case, path, seconds)
        rows = [Row.from_json(json.loads(text)) for text in path.read_text().splitlines()]
    known = {row.name for row in rows}
    return rows + [Row(name, note=reason) for name in case.rows if name not in known]


def _run(module: str, case: Case, path: Path, seconds: float) -> str:
    """Runs a case in a process group of its own; returns why rows may be missing."""
    if seconds < 30:
        return "the suite's time was over"
    command = [sys.executable, "-m", "benchmarks.run_case", module, case.name, str(path)]
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(command, stdout=messages, stderr=messages)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()  # it ends its workers before itself
            process.wait()
            return f"stopped after {seconds:.0f} s"
        messages.seek(0)
        said = [text.strip() for text in messages.read().splitlines() if text.strip()]
    return f"failed: {said[-1][:200]}" if code and said else f"ended with code {code}, no figure"


def line(row: Row, suite: str) -> str:
    """One row for the terminal."""
    figures = f"{number(row.ours):>8s} {row.unit:9s}"
    if row.ratio is not None:
        figures += f" peer {number(row.peer)} ({row.peer_program})  ratio {number(row.ratio)}"
        figures += f" [{number(row.min)}, {number(row.max)}]  {row.speedup:.2f}×"
        pair = [row.programs.get(name, {}) for name in (row.ours_program, row.peer_program)]
        for what, unit in (("cold_s", "s cold"), ("peak_mib", "MiB")):
            if all(what in facts for facts in pair):
                figures += f"  {' / '.join(number(facts[what]) for facts in pair)} {unit}"
    target = row.target(suite)
    asked = f"  {target.says(row.unit)}: {row.verdict(suite)}" if target else ""
    return f"{row.name:26s} {figures}{asked}" + (f"  ({row.note})" if row.note else "")


if __name__ == "__main__":
    main()
