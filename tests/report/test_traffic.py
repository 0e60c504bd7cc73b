"""The bytes on the page are those of communication.json."""

import pytest

from jaxnas.core.files import read_json
from jaxnas.report import traffic
from tests.report import fake_federated


@pytest.fixture(scope="module")
def communication(federated_dir):
    return read_json(federated_dir / "communication.json")


@pytest.mark.parametrize(
    "count, text",
    [
        (640, "640 B"),
        (64024, "64.0 kB"),
        (1.0e6, "1.00 MB"),
        (248205376, "248 MB"),
        (37230806400, "37.2 GB"),
        (1.5e12, "1,500 GB"),
    ],
)
def test_bytes_have_three_digits(count, text):
    assert traffic.short_bytes(count) == text


def test_the_table_adds_up(communication):
    table = traffic.communication_table(communication)
    assert sum(span for _, span in table.groups) == len(table.columns)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert len(rows) == len(communication) == len(fake_federated.TRAINED) + 1
    # 4 bytes, 16,006 parameters, 4 clients, 150 rounds, both directions
    assert rows["searched · FedAvg"][:4] == ["64.0 kB", "64.0 kB", "4", "512 kB"]
    assert rows["searched · FedAvg"][4:] == ["150", "76.8 MB", f"{7756418 / 16006:.0f}×"]
    assert rows["fastmri_unet · FedAvg"][-1] == "1.00×"
    assert rows["fastmri_unet · FedMRI"][-1] == f"{7756418 / 4709664:.2f}×"
    assert rows["searched · Non-Fed"] == ["–", "–", "4", "–", "150", "–", "–"]
    best = [row[0].text for row in table.rows if row[-1].best]
    assert best == ["searched · FedAvg", "searched · FedAutoMRI"]


def test_bars_are_as_long_as_their_bytes(communication):
    (axes,) = traffic.draw_traffic(communication).axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    low, _ = axes.get_xlim()
    for end, entry in zip(ends, communication.values(), strict=True):
        assert end == pytest.approx(entry["total"] or low)
    assert low < min(e["total"] for e in communication.values() if e["total"])
    labels = [text.get_text() for text in axes.texts]
    assert labels.count("nothing is sent") == 2
    assert labels[0] == "290 MB, 128× less"
    assert labels.count("37.2 GB, the most") == 2
    renderer = axes.figure.canvas.get_renderer()
    assert all(t.get_window_extent(renderer).x1 < axes.bbox.x1 for t in axes.texts)


@pytest.mark.parametrize("total", [0, 1, 10**9])
def test_a_single_entry_can_be_drawn(total):
    entry = {"up": total, "down": 0, "clients": 1, "rounds": 1, "total": total}
    (axes,) = traffic.draw_traffic({"unet/fedavg": entry}).axes
    shown = "nothing is sent" if total == 0 else traffic.short_bytes(total)
    assert [text.get_text() for text in axes.texts] == [shown]
    assert traffic.communication_table({"unet/fedavg": entry}).rows[0][-1].text == (
        "1.00×" if total else "–"
    )
