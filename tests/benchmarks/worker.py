"""A worker without any library: `slow` takes longer, `wrong` computes something else."""

import time

from benchmarks.timing import Prepared, peak_memory, serve


def prepare(program, problem):
    if program == "broken":
        raise SystemExit("this program cannot start")
    value = problem["x"] + (program == "wrong")

    def run():
        time.sleep(0.05 if program == "slow" else 0.01)

    return Prepared(run, lambda: {"x": value}, {"version": "1"}, peak_memory)


if __name__ == "__main__":
    serve(prepare)
