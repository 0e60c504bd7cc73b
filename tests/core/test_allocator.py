import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from jaxnas.core.runtime import keep_freed_memory
agreed = {agreed}
for _ in range(3):
    np.ones(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(16 << 20)
print(agreed, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_not_faulted_in_again():
    """Five arrays of 128 MiB, 4 KiB a page (or 2 MiB where the kernel gives huge ones)."""
    faults = {}
    for agreed in ("False", "keep_freed_memory()"):
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(agreed=agreed)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        answer, count = done.stdout.split()
        faults[answer] = int(count)
    if "True" not in faults:
        pytest.skip("this C library has no mallopt")
    assert faults["True"] < 0.1 * faults["False"]


RETURNED = """
from pathlib import Path
import numpy as np
from jaxnas.core.runtime import keep_freed_memory, return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

agreed = keep_freed_memory()
blocks = [np.ones(1 << 20) for _ in range(32)]
end = np.ones(1 << 20)  # so that the freed ones are not at the end of the heap
del blocks
kept = resident()
print(agreed and return_freed_memory(), kept - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_returned_when_asked():
    """32 blocks of 8 MiB."""
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer, returned = done.stdout.split()
    if answer != "True":
        pytest.skip("this C library keeps what it likes")
    assert float(returned) > 200
