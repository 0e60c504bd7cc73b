"""Files that tell a run how fast its device is, so that nothing is measured."""

import json

from jaxnas.engine.timing import summarize
from jaxnas.reconstruction.profile import Scan, part_keys
from jaxnas.search.latency_table import LatencyTable, device_kind, make_entry, save_table
from jaxnas.segmentation.profile import deployed_parts, part_key

EXACT = {"a": 1, "b": 0, "n": 3, "mape": 0, "raw_mape": 0, "raw_bias_ms": 0, "spearman": 1}
EXACT |= {"kendall": 1, "predicted_ms": [1, 2, 3], "measured_ms": [1, 2, 3]}


def write_table(path, config):
    """A table in which every part of a network of `config` takes a tenth of a millisecond."""
    if config.task == "segmentation":
        keys = [part_key(part, batch=1, dtype="float32") for part in deployed_parts(config)]
    else:
        keys = part_keys(config, Scan(config.data.synthetic.size, 1))
    entries = {key: make_entry(summarize([0.1])) for key in keys}
    save_table(path, LatencyTable(device_kind(), "0", "default", 1, entries))


def write_calibration(run):
    """A calibration that believes the latency model."""
    run.mkdir(exist_ok=True)
    (run / "calibration.json").write_text(json.dumps(EXACT))
