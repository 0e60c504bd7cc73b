"""The ISMRMRD header of a fastMRI file: sizes, columns that were never encoded, the scanner."""

import xml.etree.ElementTree as ET
from typing import NamedTuple

NAMESPACE = "http://www.ismrm.org/ISMRMRD"


class Header(NamedTuple):
    """The part of the header that reconstruction needs.

    Attributes:
      encoded: size (x, y, z) of the encoded k-space; x is the readout, y the phase encoding.
      recon: size (x, y, z) of the reconstructed image.
      center: phase-encoding step of the k-space centre.
      maximum: last phase-encoding step.
    """

    encoded: tuple[int, int, int]
    recon: tuple[int, int, int]
    center: int
    maximum: int

    @property
    def padding(self) -> tuple[int, int]:
        """Columns [left, right) hold data, those outside are zeros.

        left = ⌊y / 2⌋ - center, right = left + maximum + 1.
        """
        left = self.encoded[1] // 2 - self.center
        return left, left + self.maximum + 1


def parse_header(xml: str | bytes) -> Header:
    """Reads the XML text; raises ValueError that says which element is missing or malformed."""
    root = _parse(xml)
    step = "encoding/encodingLimits/kspace_encoding_step_1"
    return Header(
        encoded=_size(root, "encoding/encodedSpace/matrixSize"),
        recon=_size(root, "encoding/reconSpace/matrixSize"),
        center=_integer(root, f"{step}/center"),
        maximum=_integer(root, f"{step}/maximum"),
    )


def parse_scanner(xml: str | bytes) -> str | None:
    """Vendor, model and field strength, such as `SIEMENS Skyra 2.9T`, or None if not told.

    Raises ValueError for malformed XML and a field strength that is not a number.
    """
    system = "acquisitionSystemInformation"
    root = _parse(xml)
    vendor, model, tesla = (
        (root.findtext(_qualified(f"{system}/{name}")) or "").strip()
        for name in ("systemVendor", "systemModel", "systemFieldStrength_T")
    )
    try:
        # Scanners of one model differ in the third digit of their field.
        field = f"{float(tesla):.1f}T" if tesla else ""
    except ValueError:
        raise ValueError(
            f"element {system}/systemFieldStrength_T is {tesla!r}, not a number"
        ) from None
    return " ".join(filter(None, (vendor, model, field))) or None


def format_header(header: Header) -> str:
    """The XML text of `header`; parse_header gives it back."""
    ET.register_namespace("", NAMESPACE)
    root = ET.Element(f"{{{NAMESPACE}}}ismrmrdHeader")
    step = "encoding/encodingLimits/kspace_encoding_step_1"
    values = {
        f"{step}/minimum": 0,
        f"{step}/maximum": header.maximum,
        f"{step}/center": header.center,
    }
    for space, size in (("encodedSpace", header.encoded), ("reconSpace", header.recon)):
        values |= {f"encoding/{space}/matrixSize/{axis}": n for axis, n in zip("xyz", size)}
    for path, value in values.items():
        _descend(root, path).text = str(value)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _parse(xml: str | bytes) -> ET.Element:
    try:
        return ET.fromstring(xml)
    except ET.ParseError as error:
        raise ValueError(f"not valid XML ({error})") from None


def _qualified(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{tag}" for tag in path.split("/"))


def _descend(node: ET.Element, path: str) -> ET.Element:
    """The element at `path` below `node`, made where absent."""
    for tag in path.split("/"):
        name = f"{{{NAMESPACE}}}{tag}"
        child = node.find(name)
        node = ET.SubElement(node, name) if child is None else child
    return node


def _size(root: ET.Element, path: str) -> tuple[int, int, int]:
    x, y, z = (_integer(root, f"{path}/{axis}") for axis in "xyz")
    return x, y, z


def _integer(root: ET.Element, path: str) -> int:
    text = root.findtext(_qualified(path))
    if text is None:
        raise ValueError(f"no element {path}")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"element {path} is {text!r}, not an integer") from None
