"""Archives of others, unpacked into memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

from recops.files import READ_LIMIT


def unpack(
    archive: zipfile.ZipFile, members: Iterable[str], *, limit: int = READ_LIMIT
) -> dict[str, bytes]:
    """The contents of ``members``, by name.

    Sizes are looked at first. One that the archive understates is no danger: zipfile reads no
    further than it says, and then the checksum is wrong.

    Raises:
        KeyError: no such member.
        ValueError: together they unpack to more than ``limit`` bytes.
        zipfile.BadZipFile: damaged.
    """
    wanted = [archive.getinfo(member) for member in members]
    size = sum(member.file_size for member in wanted)
    if size > limit:
        raise ValueError(f"must unpack to at most {limit:,} bytes, got {size:,}")
    return {member.filename: archive.read(member) for member in wanted}
