"""Runs one case and appends its rows, as JSON lines, as soon as each is known.

python -m benchmarks.run_case MODULE CASE ROWS.jsonl
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # this process only prepares; the workers have the device

from benchmarks.cases import cases_of
from benchmarks.suite import SUITE


def main() -> None:
    """Runs the case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as an exception: it ends the workers
    module, name, path = sys.argv[1:]
    case = next(case for case in cases_of(module) if case.name == name)
    with tempfile.TemporaryDirectory() as folder, open(path, "a") as file:
        for row in case.measure(Path(folder)):
            file.write(json.dumps(row.to_json(SUITE)) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
