"""The files of the demo, of every kind that breaks uploaders."""

from __future__ import annotations

import io
import secrets
import zipfile
from pathlib import Path

_MIB = 1 << 20

_DOCUMENT_PARTS = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd'
        '.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Target="word/document.xml" Type="http://schemas'
        '.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>'
    ),
    "word/document.xml": (
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>Uploaded by outhaul.</w:t></w:r></w:p></w:body></w:document>"
    ),
}


def office_document() -> bytes:
    """A .docx that a word processor opens."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _DOCUMENT_PARTS.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return content.getvalue()


class Spool:
    """A directory of files to upload."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()

    def path(self, name: str) -> Path:
        """Where a file lies, or would lie."""
        return self._directory / name

    def fill(self) -> None:
        """Write the files."""
        self.path("report.docx").write_bytes(office_document())
        self.path("photo.jpg").write_bytes(secrets.token_bytes(4 * _MIB))
        self.path("empty.txt").write_bytes(b"")
        self.path("backup.bin").write_bytes(secrets.token_bytes(64 * _MIB))
        self.path("Größe und Maß.txt").write_text("Ein Name mit Leerzeichen und Umlauten.\n")
