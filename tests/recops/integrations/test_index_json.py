"""read_index_json: semantic IDs in the files of MiniOneRec and LETTER."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import recops


def test_tokens_become_codes_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "d.index.json"
    index = {"7": ["<a_3>", "<b_0>", "<c_255>"], str(-(2**63)): ["<a_0>", "<b_12>", "<c_7>"]}
    file.write_text(json.dumps(index))
    sids, item_ids = recops.read_index_json(file)
    assert (sids.dtype, item_ids.dtype) == (torch.int32, torch.int64)
    assert (sids.tolist(), item_ids.tolist()) == ([[3, 0, 255], [0, 12, 7]], [7, -(2**63)])
    trie = recops.SidTrie.from_sids(sids, item_ids)
    assert trie.items(trie.find(sids))[1].tolist() == [7, -(2**63)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "must hold an object from item id to tokens such as <a_183>"),
        ("{}", "must hold an object from item id"),
        ('{"x7": ["<a_1>"]}', "item ids must be integers of 64 bits, got 'x7'"),
        ('{"9223372036854775808": ["<a_1>"]}', "item ids must be integers of 64 bits"),
        ('{"٧": ["<a_1>"]}', "item ids must be integers"),
        ('{"1": []}', "the semantic ID of item 1 must be a list of tokens <a_…>, <b_…>, …, got []"),
        (
            '{"1": "<a_1>"}',
            'the semantic ID of item 1 must be a list of tokens <a_…>, <b_…>, …, got "',
        ),
        ('{"1": ["<b_1>"]}', "the semantic ID of item 1 must be"),
        ('{"1": ["<a_1>", "<b_-1>"]}', "the semantic ID of item 1 must be"),
        ('{"1": ["<a_1>", 5]}', "the semantic ID of item 1 must be"),
        ('{"1": ["<a_1>", "<b_2>"], "4": ["<a_1>"]}', "ID of item 4 must be 2 tokens <a_…>, <b"),
        ('{"1": ["<a_1>"], "01": ["<a_2>"]}', "item ids must be unique, got 01 twice"),
        ('{"1": ["<a_1>"], "1": ["<a_2>"]}', "item ids must be unique, got 1 twice"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "d.index.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        recops.read_index_json(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape("none.index.json")):
        recops.read_index_json(tmp_path / "none.index.json")
