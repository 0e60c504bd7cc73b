"""The findings of a run, in sentences."""

from collections.abc import Iterable
from typing import Any

from jaxnas.report.federated import ReportedMethod, methods_of
from jaxnas.report.names import EVERYONE, UNTRAINED, method_name, row_name
from jaxnas.report.tables import known, mean_of, short_number
from jaxnas.report.traffic import short_bytes

NOT_BASELINES = ("derived", "supernet", *UNTRAINED)


def summarise_run(metrics: dict[str, Any]) -> list[str]:
    """The evaluation at one site in sentences: the derived network, and the best baseline."""
    rows = [
        r
        for r in metrics["rows"]
        if r["acceleration"] == "all" and mean_of(r.get("psnr")) is not None
    ]
    derived = next((r for r in rows if r["model"] == "derived"), None)
    best = _best(r for r in rows if r["model"] not in NOT_BASELINES)
    lines = []
    if derived:
        lines.append(f"The searched network reaches {_score(derived)} with {_cost(derived)}.")
    if best:
        lines.append(
            f"The best baseline, {row_name(best)}, reaches {_score(best)} with {_cost(best)}."
        )
    if derived and best:
        gap = known(mean_of(derived["psnr"])) - known(mean_of(best["psnr"]))
        lines.append(f"The difference in mean PSNR is {gap:+.2f} dB (searched − best baseline).")
    return lines + _plain(r for r in rows if r["model"] in UNTRAINED)


def summarise_clients(
    metrics: dict[str, Any] | None, communication: dict[str, Any] | None
) -> list[str]:
    """A federated run in sentences: best searched and other method, their worst clients, bytes."""
    found = methods_of(metrics) if metrics else []
    methods = [m for m in found if m.score(EVERYONE, "psnr") is not None]
    rows = {m.key: m.rows[EVERYONE] for m in methods}
    searched = _best_method(m for m in methods if m.key.startswith("derived/"))
    other = _best_method(m for m in methods if m.key.partition("/")[0] not in NOT_BASELINES)
    lines = []
    for method, what in (
        (searched, "The best searched method"),
        (other, "The best method with another network"),
    ):
        if method:
            row = rows[method.key]
            lines.append(
                f"{what}, {method_name(method.key)}, reaches {_score(row)} over the test slices of "
                f"all clients with {_cost(row)}{_worst(method)}."
            )
    if searched and other:
        gap = known(searched.score(EVERYONE, "psnr")) - known(other.score(EVERYONE, "psnr"))
        lines.append(f"The difference in mean PSNR is {gap:+.2f} dB (searched − other).")
    lines += _traffic(communication or {}, [m.key for m in (searched, other) if m])
    return lines + _plain(row for key, row in rows.items() if key in UNTRAINED)


def _best(rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    return max(rows, key=lambda row: known(mean_of(row["psnr"])), default=None)


def _best_method(methods: Iterable[ReportedMethod]) -> ReportedMethod | None:
    return max(methods, key=lambda m: known(m.score(EVERYONE, "psnr")), default=None)


def _worst(method: ReportedMethod) -> str:
    worst = method.worst()
    return f"; its worst client is {worst[0]} with {worst[1]:.2f} dB" if worst else ""


def _traffic(communication: dict[str, Any], shown: list[str]) -> list[str]:
    """The bytes of the search and of the methods `shown`."""
    parts = [
        f"{method_name(key)} {short_bytes(communication[key]['total'])}"
        for key in shown
        if communication.get(key, {}).get("total")
    ]
    if search := communication.get("search"):
        clients = f"{search['clients']:g} client{'s' if search['clients'] > 1 else ''}"
        count = f"{search['rounds']} rounds with {clients}"
        parts.append(f"the search {short_bytes(search['total'])} in {count}")
    return [f"Clients and server exchange: {'; '.join(parts)}."] if parts else []


def _plain(rows: Iterable[dict[str, Any]]) -> list[str]:
    scores = ", ".join(f"{row_name(row)} {_score(row)}" for row in rows)
    return [f"Without a network: {scores}."] if scores else []


def _score(row: dict[str, Any]) -> str:
    ssim = mean_of(row.get("ssim"))
    text = f"{mean_of(row['psnr']):.2f} dB"
    return text if ssim is None else f"{text} (SSIM {ssim:.4f})"


def _cost(row: dict[str, Any]) -> str:
    return f"{short_number(row.get('params'))} parameters and {short_number(row.get('macs'))} MACs"
