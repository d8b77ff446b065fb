"""Removal of a library from the dependencies of a shared object (ELF, 64 bit, little endian)."""

import struct
from pathlib import Path

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


def drop_needed(path: Path, library: str) -> bool:
    """Remove ``library`` from the needed libraries of ``path``; return whether it was there.

    Notes
    -----
    The entry is removed from the dynamic section, and later entries move up. Field offsets follow the ELF-64 object
    file format, version 1.5. Files of other formats are not changed.
    """
    content = bytearray(path.read_bytes())
    if content[:6] != b"\x7fELF\x02\x01":
        return False
    headers_at, header_size, n_headers = (
        struct.unpack_from("<Q", content, 32)[0],
        *struct.unpack_from("<HH", content, 54),
    )
    headers = [struct.unpack_from("<IIQQQQ", content, headers_at + k * header_size) for k in range(n_headers)]
    dynamic = next((header for header in headers if header[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return False
    start, size = dynamic[2], dynamic[5]
    entries = [struct.unpack_from("<QQ", content, at) for at in range(start, start + size, 16)]
    strings_at = _file_offset(headers, next(value for tag, value in entries if tag == _DT_STRTAB))

    def is_dropped(tag: int, value: int) -> bool:
        name = content[strings_at + value : content.index(b"\0", strings_at + value)] if tag == _DT_NEEDED else b""
        return name == library.encode()

    kept = [entry for entry in entries if not is_dropped(*entry)]
    if len(kept) == len(entries):
        return False
    kept += [(_DT_NULL, 0)] * (len(entries) - len(kept))
    for k, entry in enumerate(kept):
        struct.pack_into("<QQ", content, start + 16 * k, *entry)
    path.write_bytes(content)
    return True


def _file_offset(headers: list[tuple[int, ...]], address: int) -> int:
    """Return the file offset of an address of the loaded object."""
    for kind, _, offset, virtual, _, size in headers:
        if kind == _PT_LOAD and virtual <= address < virtual + size:
            return address - virtual + offset
    return address
