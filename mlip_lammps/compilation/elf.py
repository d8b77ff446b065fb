"""Changes of shared objects (ELF, 64 bit, little endian). Files of other formats are not changed.

Field offsets follow the ELF-64 object file format, version 1.5.
"""

import struct
from pathlib import Path

_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_EXECUTABLE = 1
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


def drop_needed(path: Path, library: str) -> bool:
    """Remove ``library`` from the needed libraries of ``path``; return whether it was there.

    The entry is removed from the dynamic section, and later entries move up.
    """
    content = bytearray(path.read_bytes())
    headers = [struct.unpack_from("<IIQQQQ", content, at) for at in _program_headers(content)]
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


def forbid_executable_stack(path: Path) -> bool:
    """Remove the request of ``path`` for an executable stack, which glibc 2.41 refuses; return whether it was there.

    The linker adds the request if an object file does not say that it needs none, as those that it makes of data.
    """
    content = bytearray(path.read_bytes())
    for at in _program_headers(content):
        kind, flags = struct.unpack_from("<II", content, at)
        if kind == _PT_GNU_STACK and flags & _EXECUTABLE:
            struct.pack_into("<I", content, at + 4, flags & ~_EXECUTABLE)
            path.write_bytes(content)
            return True
    return False


def _program_headers(content: bytearray) -> list[int]:
    """Return the offsets of the program headers; none for a file of another format."""
    if content[:6] != b"\x7fELF\x02\x01":
        return []
    first = struct.unpack_from("<Q", content, 32)[0]
    size, number = struct.unpack_from("<HH", content, 54)
    return [first + k * size for k in range(number)]


def _file_offset(headers: list[tuple[int, ...]], address: int) -> int:
    """Return the file offset of an address of the loaded object."""
    for kind, _, offset, virtual, _, size in headers:
        if kind == _PT_LOAD and virtual <= address < virtual + size:
            return address - virtual + offset
    return address
