"""The header parser on the numbers of real headers."""

import pytest

from jaxnas.data.ismrmrd import Header, format_header, parse_header, parse_scanner

# A knee header as Siemens scanners write it, shortened.
KNEE = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <acquisitionSystemInformation><receiverChannels>15</receiverChannels>
  </acquisitionSystemInformation>
  <encoding>
    <encodedSpace>
      <matrixSize><x>640</x><y>372</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>280</x><y>162.818</y><z>4.5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>320</x><y>320</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>140</x><y>140</y><z>3</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>0</minimum><maximum>321</maximum><center>161</center>
      </kspace_encoding_step_1>
      <slice><minimum>0</minimum><maximum>34</maximum><center>0</center></slice>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""


@pytest.mark.parametrize("xml", [KNEE, KNEE.encode()], ids=["str", "bytes"])
def test_knee_header(xml):
    header = parse_header(xml)
    assert header == Header((640, 372, 1), (320, 320, 1), center=161, maximum=321)
    assert header.padding == (25, 347)


def test_unpadded_header():
    assert Header((640, 368, 1), (320, 320, 1), center=184, maximum=367).padding == (0, 368)


def test_round_trip():
    header = Header((33, 27, 1), (17, 27, 1), center=10, maximum=20)
    assert parse_header(format_header(header)) == header


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<center>161</center>", "", "no element .*step_1/center"),
        ("<y>372</y>", "<y>wide</y>", "encodedSpace/matrixSize/y is 'wide', not an integer"),
        ("</encoding>", "", "not valid XML"),
        ("http://www.ismrm.org/ISMRMRD", "http://example.org", "no element"),
    ],
)
def test_malformed_headers(old, new, message):
    with pytest.raises(ValueError, match=message):
        parse_header(KNEE.replace(old, new))


SYSTEM = {
    "systemVendor": "SIEMENS",
    "systemModel": "Biograph_mMR",
    "systemFieldStrength_T": "2.893620",
}


def with_system(**elements):
    xml = "".join(f"<{name}>{value}</{name}>" for name, value in elements.items())
    return KNEE.replace("<receiverChannels>", f"{xml}<receiverChannels>")


@pytest.mark.parametrize(
    ("missing", "want"),
    [
        ((), "SIEMENS Biograph_mMR 2.9T"),
        (("systemModel",), "SIEMENS 2.9T"),
        (("systemFieldStrength_T",), "SIEMENS Biograph_mMR"),
        (tuple(SYSTEM), None),
    ],
)
def test_scanner(missing, want):
    elements = {name: value for name, value in SYSTEM.items() if name not in missing}
    assert parse_scanner(with_system(**elements)) == want


def test_malformed_scanners():
    with pytest.raises(ValueError, match="systemFieldStrength_T is 'high', not a number"):
        parse_scanner(with_system(systemFieldStrength_T="high"))
    with pytest.raises(ValueError, match="not valid XML"):
        parse_scanner("<a>")
