"""Seeded mutations of model files, and a process that opens each of them within limits of time and memory."""

import os
import pickle
import re
import resource
import signal
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

MOST_SECONDS = 10
MOST_BYTES = 1 << 30
"""Memory that opening a file may take beyond that of the process before."""

REFUSED, SAME, OTHER = "refused", "same", "other"


@dataclass(frozen=True)
class Outcome:
    """What happened to one mutation.

    Attributes
    ----------
    verdict
        ``refused`` with a message of the package, ``same`` if the content is unchanged, ``other`` if it is not, or a
        fault: ``crash``, ``timeout``, ``memory``, or an exception of another kind.
    """

    verdict: str
    message: str
    seconds: float


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(0, len(content))]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Change 1 to 8 bytes anywhere."""
    changed = bytearray(content)
    for place in rng.integers(0, len(content), size=rng.integers(1, 9)):
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)


def flipped_near_an_end(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a byte where headers and tables of contents are."""
    place = int(rng.integers(0, min(len(content), 2000)))
    place = place if rng.random() < 0.5 else len(content) - 1 - place
    return content[:place] + bytes([content[place] ^ int(rng.integers(1, 256))]) + content[place + 1 :]


def with_a_huge_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Write 2^31 - 1, 2^32 - 1 or 2^62 over some bytes near an end."""
    number = [struct.pack("<I", 2**31 - 1), struct.pack("<I", 2**32 - 1), struct.pack("<Q", 2**62)][rng.integers(0, 3)]
    place = int(rng.integers(0, min(len(content), 2000)))
    place = place if rng.random() < 0.5 else max(0, len(content) - len(number) - place)
    return content[:place] + number + content[place + len(number) :]


def cut_out(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave out some bytes."""
    start = int(rng.integers(0, len(content)))
    return content[:start] + content[start + int(rng.integers(1, 5000)) :]


BYTES = (truncated, flipped, flipped_near_an_end, with_a_huge_number, cut_out)


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", compression=compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return stream.getvalue()


def with_swapped_names(content: bytes, rng: np.random.Generator) -> bytes:
    members = members_of(content)
    one, two = rng.choice(sorted(members), size=2, replace=False)
    members[one], members[two] = members[two], members[one]
    return zipped(members)


def without_a_member(content: bytes, rng: np.random.Generator) -> bytes:
    members = members_of(content)
    members.pop(rng.choice(sorted(members)))
    return zipped(members)


def with_a_changed_member(content: bytes, rng: np.random.Generator) -> bytes:
    """Change bytes of one member, with the right checksum of the zip format."""
    members = members_of(content)
    name = rng.choice([name for name, member in members.items() if member])
    members[name] = flipped(members[name], rng)
    return zipped(members)


def with_a_changed_entry(content: bytes, rng: np.random.Generator) -> bytes:
    """Ask for a newer version of zip, encryption or another compression in an entry of the table of contents."""
    changed, (offset, value) = bytearray(content), [(6, 98), (8, 1), (10, 8), (10, 99)][rng.integers(0, 4)]
    starts = [place.start() for place in re.finditer(b"PK\x01\x02", content)]
    changed[rng.choice(starts) + offset] = value
    return bytes(changed)


def zip_bomb(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace one member by 4 GB of zeros, compressed (with a stream that is repeated)."""
    members = members_of(content)
    name = rng.choice(sorted(members))
    members[name] = bytes(1 << 24)
    bomb = bytearray(zipped(members, zipfile.ZIP_DEFLATED))
    place = bomb.rfind(struct.pack("<I", 1 << 24))
    bomb[place : place + 4] = struct.pack("<I", 2**32 - 2)  # the size in the table of contents
    return bytes(bomb)


ZIPPED = (with_swapped_names, without_a_member, with_a_changed_member, with_a_changed_entry, zip_bomb)


class _Call:
    """An object whose pickle calls ``os.system``."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def calling(canary: Path) -> Callable[[bytes, np.random.Generator], bytes]:
    """Return a mutation of a checkpoint: its pickle would write ``canary`` if it were loaded."""

    def mutation(content: bytes, rng: np.random.Generator) -> bytes:
        members = members_of(content)
        name = next(name for name in members if name.endswith("/data.pkl"))
        attack = pickle.dumps(_Call(f"touch {canary}"), protocol=2)
        # before the object, in its place, or with a name that looks harmless
        forms = (attack[:-1] + b"0" + members[name][2:], attack, attack.replace(b"posix", b"torch"))
        members[name] = forms[rng.integers(0, len(forms))]
        return zipped(members)

    return mutation


def with_another_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Change digits or names in the JSON header of a safetensors file, whose length stays right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = bytearray(content[8 : 8 + length])
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, length))
        header[place] = int(rng.choice(list(b'0123456789"{}[]:,xe-')))
    return content[:8] + bytes(header) + content[8 + length :]


def with_exchanged_tensors(content: bytes, rng: np.random.Generator) -> bytes:
    """Exchange the first bytes of two places in the data of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    data = bytearray(content[8 + length :])
    one, two = sorted(rng.integers(0, len(data) - 64, size=2))
    data[one : one + 8], data[two : two + 8] = data[two : two + 8], data[one : one + 8]
    return content[: 8 + length] + bytes(data)


SAFETENSORS = (with_another_header, with_exchanged_tensors)


def open_in_fork(path: Path, inspect: Callable[[Path], str], refusals: tuple[type[Exception], ...]) -> Outcome:
    """Run ``inspect`` in a forked process; it returns ``same`` or ``other``, or raises."""
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _inspect_and_exit(path, inspect, refusals, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        report = stream.read().decode()
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return Outcome("timeout" if number == signal.SIGALRM else "crash", signal.Signals(number).name, seconds)
    verdict, _, message = report.partition("\n")
    return Outcome(verdict or "crash", message, seconds)


def _inspect_and_exit(path: Path, inspect, refusals: tuple[type[Exception], ...], writing: int) -> None:
    """Report what ``inspect`` does, and end this process without its clean-up."""
    report = "crash\n"
    try:
        # processor time: other processes may keep the machine busy
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGALRM))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = f"{inspect(path)}\n"
    except refusals as error:
        report = f"{REFUSED}\n{error}"
    except BaseException as error:
        report = f"{type(error).__name__}\n{error}"
    finally:
        taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if taken > MOST_BYTES:
            report = f"memory\n{taken} bytes"
        os.write(writing, report.encode()[:60_000])
        os._exit(0)
