"""XML documents of the store. None has a namespace: oss2 looks its tags up without one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias
from xml.etree import ElementTree as ET

from tests.support.oss.message import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

Fields: TypeAlias = "Sequence[tuple[str, str | Fields]]"

# XML 1.0 has no way to write these, yet a key or a string to sign may hold them.
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def render(root: str, fields: Fields) -> bytes:
    """Return the UTF-8 document `<root>` with one element per field, nested fields nested."""
    element = ET.Element(root)
    _fill(element, fields)
    written: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=True)
    return written


def document(root: str, fields: Fields, status: int = 200) -> Reply:
    """Return the reply whose body is that document."""
    return Reply(status, {"Content-Type": "application/xml"}, render(root, fields))


def _fill(parent: ET.Element, fields: Fields) -> None:
    for tag, content in fields:
        child = ET.SubElement(parent, tag)
        if isinstance(content, str):
            child.text = _UNWRITABLE.sub("\ufffd", content)
        else:
            _fill(child, content)
