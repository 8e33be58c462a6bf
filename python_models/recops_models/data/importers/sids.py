"""Reading a data set's semantic IDs: ``{"0": ["<a_183>", "<b_70>", …], …}``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from recops.integrations.index_json import codes_of_tokens
from recops_models.data.checks import RawTable
from recops_models.data.errors import DataError
from recops_models.data.importers.json_files import read_object


def read_sids(file: Path) -> RawTable:
    """Read ``item_id`` and ``sid``, a list of fixed length.

    Models do not read lists of fixed length as attributes.

    Raises:
        DataError: the file does not have the format described above.
    """
    pairs = read_object(file, "an object from item id to a list of tokens such as <a_183>")
    depth = len(pairs[0][1]) if isinstance(pairs[0][1], list) else 0
    codes, malformed, keys = [], [], []
    for row, (key, tokens) in enumerate(pairs):
        code = codes_of_tokens(tokens)
        if code is None or len(code) != depth:
            malformed.append((row + 1, f"a semantic ID is not {depth} tokens <a_…>, <b_…>, …"))
        else:
            keys.append(key)
            codes.append(code)
    if not codes or not depth:
        raise DataError(f"{file}: semantic IDs must be lists of tokens such as <a_183>")
    flat = pa.array(np.array(codes, dtype=np.int32).ravel())
    table = pa.table({"item_id": keys, "sid": pa.FixedSizeListArray.from_arrays(flat, depth)})
    return RawTable(file.name, table, malformed)
