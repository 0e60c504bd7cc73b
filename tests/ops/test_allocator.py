"""The allocator settings, in a process of their own: they cannot be taken back."""

import platform
import subprocess
import sys

PROGRAM = """
from jaxnas.ops.allocator import keep_freed_memory
print(keep_freed_memory())
memory = [bytearray(n * 2**20) for n in (1, 40, 100)]
"""


def test_settings_take_effect_where_there_is_glibc():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ran.returncode == 0
    assert ran.stdout.strip() in {"True", "False"}
    if platform.libc_ver()[0] == "glibc":
        assert ran.stdout.strip() == "True"
