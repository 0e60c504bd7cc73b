"""The record of a run and its TensorBoard view."""

import errno
import os
import struct

import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from jaxnas.core.errors import UserError
from jaxnas.engine.logs import EVENTS, MetricWriter, read_log


def events(run_dir):
    """All scalars (tag, step, value) of the one event file, checksums verified.

    A record is: length u64, its checksum u32, the payload, its checksum u32.
    """
    (path,) = run_dir.glob(EVENTS)
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        payload = data[at + 12 : at + 12 + length]
        (checksum,) = struct.unpack_from("<I", data, at + 12 + length)
        crc = crc32c(payload)
        assert checksum == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        event = Event.FromString(payload)
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        at += 16 + length
    return found


def fill(run_dir):
    """Two models, three lines each."""
    with MetricWriter(run_dir) as writer:
        for model in ("a", "b"):
            for step in (1, 2, 3):
                writer.write("train", model, step, {"loss": step / 10, "size": 1.0})


def test_lines_and_events_tell_the_same(tmp_path):
    fill(tmp_path)
    rows = read_log(tmp_path / "log.jsonl")
    assert rows[0] == {"stage": "train", "model": "a", "step": 1, "loss": 0.1, "size": 1.0}
    expected = [
        (f"train/{row['model']}/{name}", row["step"], np.float32(row[name]))
        for row in rows
        for name in ("loss", "size")
    ]
    assert events(tmp_path) == expected and len(expected) == 12


def test_rewind_drops_later_lines_of_one_model(tmp_path):
    fill(tmp_path)
    with MetricWriter(tmp_path) as writer:
        writer.rewind("train", "b", 1)
        writer.write("train", "b", 2, {"loss": 7.0})
    rows = [(row["model"], row["step"], row["loss"]) for row in read_log(tmp_path / "log.jsonl")]
    assert rows == [("a", 1, 0.1), ("a", 2, 0.2), ("a", 3, 0.3), ("b", 1, 0.1), ("b", 2, 7.0)]
    assert [e for e in events(tmp_path) if e[0] == "train/b/loss"][1:] == [("train/b/loss", 2, 7.0)]


def test_a_line_cut_short_is_left_out_and_repaired(tmp_path):
    fill(tmp_path)
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text()[:-9])
    assert len(read_log(path)) == 5
    with MetricWriter(tmp_path) as writer:
        writer.write("train", "b", 3, {"loss": 0.5})
    assert [row["loss"] for row in read_log(path)][-2:] == [0.2, 0.5]


def test_a_bad_line_is_named(tmp_path):
    fill(tmp_path)
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text().replace('"step": 2', '"step" 2', 1))
    with pytest.raises(UserError, match=r"log.jsonl:2: not a JSON line"):
        read_log(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    with MetricWriter(tmp_path) as writer, pytest.raises(ValueError):
        writer.write("train", "a", 1, {"loss": float("nan")})


def test_a_record_that_cannot_be_written_is_named(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.path.unlink()
        writer.path.mkdir()
        with pytest.raises(UserError, match=r"log\.jsonl: cannot be written \(Is a directory\)"):
            writer.write("train", "a", 1, {"loss": 1.0})


def test_a_view_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with MetricWriter(tmp_path) as writer, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"tfevents.*: cannot be written \(No space left"):
            writer.write("train", "a", 1, {"loss": 1.0})
