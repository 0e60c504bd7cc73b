"""A strict environment for every test, and the real-data folder where there is one.

What tests cost is compiling: XLA does little to a program here, and no program is compiled twice.
"""

import os
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if not os.environ.get("JAXNAS_GPU"):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # `optimised` tests apart
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
CHEAP = ["--xla_cpu_parallel_codegen_split_count=1"]
if version("jax").startswith("0.10."):  # XLA ends the process for a flag that it does not know
    CHEAP.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(CHEAP))

import jax  # noqa: E402
import pytest  # noqa: E402

from jaxnas.core.notices import forget_warnings  # noqa: E402

COSTLY = {"cli", "fed", "ops", "reconstruction", "search", "segmentation", "spaces"}

jax.config.update("jax_numpy_rank_promotion", "raise")
if jax.config.jax_platforms == "cpu":
    jax.config.update("jax_num_cpu_devices", 4)


@pytest.fixture(autouse=True)
def nothing_said():
    """Every test hears every warning."""
    forget_warnings()


@pytest.fixture(autouse=True)
def optimised(request):
    """Tests marked so get the programs that XLA makes by default."""
    name, marked = "jax_disable_most_optimizations", request.node.get_closest_marker("optimised")
    before = jax.config.read(name)
    jax.config.update(name, before and marked is None)
    yield
    jax.config.update(name, before)


@pytest.fixture
def key():
    """One typed key."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real MRI, or a skip that says how to provide it."""
    folder = Path(os.environ.get("JAXNAS_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "siat").is_dir():
        pytest.skip(f"no real data at {folder}; set JAXNAS_REAL_DATA to run this test")
    return folder


def pytest_configure(config):
    """Files go to the workers as they are sorted below, not by how many tests they have."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Costly rooms come first, to end together; `gpu` tests are skipped where there is no GPU."""
    items.sort(key=lambda item: COSTLY.isdisjoint(item.path.relative_to(ROOT).parts))
    if any(item.get_closest_marker("gpu") for item in items) and jax.default_backend() != "gpu":
        skip = pytest.mark.skip(reason="no GPU; set JAXNAS_GPU=1 on a machine that has one")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)
