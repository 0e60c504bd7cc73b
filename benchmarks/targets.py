"""The targets of the rows, per suite."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """A bound on the speed-up (from below), on the ratio or on our own figure (from above, except
    a share, which is bounded from below)."""

    quantity: Literal["speedup", "ratio", "ours", "share"]
    bound: float

    def verdict(self, speedup: float | None, ratio: float | None, ours: float | None) -> str:
        """`met`, `missed` or `not measured`."""
        found = {"speedup": speedup, "ratio": ratio, "ours": ours, "share": ours}[self.quantity]
        if found is None:
            return "not measured"
        above = self.quantity in ("speedup", "share")
        return "met" if (found >= self.bound if above else found <= self.bound) else "missed"

    def says(self, unit: str) -> str:
        """The bound in words."""
        match self.quantity:
            case "speedup":
                return f"≥ {self.bound:g}× faster"
            case "ratio":
                return f"ratio ≤ {self.bound:.3g}"
            case "share":
                return f"≥ {self.bound:g}"
        return f"≤ {self.bound:g} {unit}".rstrip()


def _faster(times: float) -> Target:
    return Target("speedup", times)


BOTH = {
    "candidates/8": Target("ratio", 1.2),
    "candidates/16": Target("ratio", 1.2),
    "decode/k-best": Target("ours", 100),
    "decode/genetic": Target("ours", 1000),
    "pipeline/wait": Target("ours", 0.05),
    "rtdnas/inference": _faster(1.0),
}
TARGETS: dict[str, dict[str, Target]] = {
    "cpu": BOTH
    | {
        "supernet/fedautomri": _faster(2.0),
        "supernet/csmri_a": _faster(1.3),
        "memory/fedautomri": Target("ratio", 1 / 2),
        "memory/csmri_a": Target("ratio", 1 / 2),
        "round/search": _faster(1.2),
        "round/flower": _faster(5.0),
        "inference/fedautomri": _faster(1.3),
        "inference/csmri_a": _faster(1.3),
        "rtdnas/supernet": _faster(1.2),
        "rtdnas/compile": Target("ours", 180),
        "memory/rtdnas": Target("ours", 6 * 1024),
        "cold/quickstart": Target("ours", 20),
        "cold/quickstart_warm": Target("ours", 8),
    },
    "gpu": BOTH
    | {
        "supernet/fedautomri": _faster(4.0),
        "supernet/csmri_a": _faster(3.0),
        "memory/fedautomri": Target("ratio", 1 / 3),
        "memory/csmri_a": Target("ratio", 1 / 3),
        "round/search": _faster(2.5),
        "round/flower": _faster(10.0),
        "inference/fedautomri": _faster(2.0),
        "inference/csmri_a": _faster(2.0),
        "inference/fedautomri_bytes": Target("share", 0.4),
        "inference/csmri_a_bytes": Target("share", 0.4),
        "rtdnas/supernet": _faster(2.0),
    },
}


def target_of(name: str, suite: str) -> Target | None:
    """The target of a row, None if nothing is asked of it."""
    return TARGETS[suite].get(name)
