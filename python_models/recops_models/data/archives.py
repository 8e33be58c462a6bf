"""Reading zip archives into memory, with a size limit."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

from recops.files import READ_LIMIT


def unpack(
    archive: zipfile.ZipFile, members: Iterable[str], *, limit: int = READ_LIMIT
) -> dict[str, bytes]:
    """Return the contents of ``members``, by name.

    The declared sizes are checked before anything is unpacked. An archive that understates a size
    fails its checksum, because zipfile reads only the declared number of bytes.

    Raises:
        KeyError: the archive has no such member.
        ValueError: the members unpack to more than ``limit`` bytes in total.
        zipfile.BadZipFile: the archive is damaged.
    """
    infos = [archive.getinfo(member) for member in members]
    size = sum(info.file_size for info in infos)
    if size > limit:
        raise ValueError(f"must unpack to at most {limit:,} bytes, got {size:,}")
    return {info.filename: archive.read(info) for info in infos}
