"""The library as a notebook uses it: names, examples, arrays in and arrays out."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxnas
from jaxnas import api
from jaxnas.core.errors import UserError

README = Path(__file__).resolve().parent.parent / "README.md"
TINY = {
    "data": {"split": {"valid_fraction": 0, "test_fraction": 0.25}},
    "acquisition": {"accelerations": [2], "center_fractions": [0.2]},
    "network": {"channels": 2, "cells": 1, "nodes": 1, "cascades": 1},
    "search": {"steps": 2},
    "train": {"models": ["dccnn", "derived"], "steps": 2},
}
NAMES = [*jaxnas.__all__, "api"]


def documented(name):
    """What `help` shows of a public name."""
    return api.search if name == "search" else getattr(jaxnas, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name):
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(documented(name), name, globs={})
    assert example.examples, f"{name}: its docstring has no example"
    failed, _ = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(example)
    assert not failed


def test_importing_costs_nothing():
    code = """
import sys, time
start = time.process_time()
import jaxnas
seconds = time.process_time() - start
assert not {"jax", "numpy", "flax", "pydantic"} & set(sys.modules), "imports at once"
assert set(jaxnas.__all__) <= set(dir(jaxnas))
assert seconds < 0.1, seconds
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("before", ["", "import jaxnas.search.darts; "])
def test_the_verb_and_the_room_have_one_name(before):
    code = before + "import jaxnas; assert callable(jaxnas.search); import jaxnas.search.moves"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        jaxnas.serch  # noqa: B018


def volumes(seed, shape=(2, 16, 16)):
    """Eight volumes of smooth complex images."""
    rng = np.random.default_rng(seed)
    plane = np.hanning(shape[-1])[:, None] * np.hanning(shape[-1])
    return {
        f"v{k}": (plane * rng.uniform(0.5, 1.5, shape) * np.exp(0.1j)).astype(np.complex64)
        for k in range(8)
    }


def test_a_search_on_arrays_is_trained_evaluated_and_loaded(tmp_path):
    data = jaxnas.Arrays(volumes(0), domain="image")
    run = jaxnas.search(TINY, data=data, workdir=tmp_path / "run")
    assert run.config.data.source == "memory" and run.dir.genotype.exists()
    jaxnas.train(run, data=data)
    rows = jaxnas.evaluate(run, data=data)
    assert {row["model"] for row in rows} == {"zero_filled", "tv", "dccnn", "derived"}
    assert run.dir.metrics.read()["data"].startswith("memory: 2 test volumes")

    reconstruct = jaxnas.load(run.path, model="derived")
    kspace = np.asarray(jaxnas.fft2c(next(iter(volumes(1).values()))))
    mask = jaxnas.make_mask(
        "random", (16, 16), accelerations=[2], center_fractions=[0.2], seed=0
    ).samples
    images = reconstruct(kspace, mask)
    assert images.shape == (2, 16, 16) and images.dtype == np.float32
    np.testing.assert_allclose(reconstruct(kspace * mask), images, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(reconstruct(kspace[1], mask), images[1], rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="fully sampled, there is nothing to reconstruct"):
        reconstruct(kspace)


def test_the_readme_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    kspace = {name: np.asarray(jaxnas.fft2c(images)) for name, images in volumes(0).items()}
    given = {"volumes": kspace, "kspace": kspace["v0"], "mask": np.arange(16) % 2 == 0}
    exec(snippet, given)
    assert given["images"].shape == (2, 16, 16) and {row["model"] for row in given["rows"]}


def test_other_arrays_do_not_go_on_with_a_run(tmp_path):
    run = jaxnas.search(TINY, data=jaxnas.Arrays(volumes(0), domain="image"), workdir=tmp_path)
    fewer = {name: array for name, array in volumes(0).items() if name != "v3"}
    with pytest.raises(UserError, match="begun on other inputs"):
        jaxnas.train(run, data=jaxnas.Arrays(fewer, domain="image"))
    with pytest.raises(UserError, match="its volumes were arrays of a Python program"):
        jaxnas.train(run.path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "there is no volume"),
        ({"a": np.ones((2, 8, 8))}, "'a': is float64 of shape .* expected complex numbers"),
        ({"a": np.ones((8, 8), complex)}, r"of shape \(8, 8\); expected"),
        ({"a": np.ones((0, 8, 8), complex)}, r"of shape \(0, 8, 8\); expected"),
    ],
)
def test_arrays_that_are_no_kspace(arrays, message):
    with pytest.raises(UserError, match=message):
        jaxnas.Arrays(arrays)


def test_coils_and_their_maps():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 8, 8)) + 1j * rng.normal(size=(2, 8, 8))
    maps = rng.normal(size=(3, 8, 8)) + 1j * rng.normal(size=(3, 8, 8))
    source = jaxnas.Arrays({"a": images}, domain="image", sens={"a": maps})
    item = source.read(1)
    assert source.slices[1].coils == 3 and item.kspace.shape == item.sens.shape == (3, 8, 8)
    np.testing.assert_allclose(np.sum(np.abs(item.sens) ** 2, axis=0), 1, rtol=1e-5)
    combined = (np.conj(item.sens) * np.asarray(jaxnas.ifft2c(item.kspace))).sum(axis=0)
    np.testing.assert_allclose(combined, images[1], rtol=1e-3, atol=1e-5)
    again = jaxnas.Arrays({"a": item.kspace[None]}, sens={"a": item.sens}).read(0)
    np.testing.assert_allclose(again.kspace, item.kspace, rtol=1e-6)
