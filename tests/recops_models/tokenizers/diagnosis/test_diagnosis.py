"""Diagnosis of semantic IDs: small examples, bounds of metrics, page and command."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_shop import SETTINGS
from torch import Tensor

from recops.files import read_json
from recops_models import cli
from recops_models.data import load, named_split
from recops_models.tokenizers import RQKMeans, Sids, diagnose, save_sids
from recops_models.tokenizers.diagnosis.page import render
from recops_models.tokenizers.diagnosis.retention import hit_rates, pair_auc
from recops_models.tokenizers.usage import spread

pytestmark = pytest.mark.usefixtures("one_thread")


def blobs(items: int = 400, centres: int = 20, dim: int = 8, spread: float = 0.2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    middle = torch.randn(centres, dim, generator=generator)
    return middle[torch.arange(items) % centres] + spread * torch.randn(
        items, dim, generator=generator
    )


def fitted(vectors: Tensor, codes: int = 16) -> RQKMeans:
    return RQKMeans(2, codes).fit(vectors, torch.arange(len(vectors)))


def books(*levels: Sequence[Sequence[float]]) -> list[Tensor]:
    return [torch.tensor(level) for level in levels]


def test_metrics_of_a_small_example() -> None:
    diagnosis = diagnose(torch.tensor([[0, 0], [0, 1], [0, 1], [2, 0]]), vocab_sizes=(4, 2))
    first = diagnosis["levels"][0]
    assert (first["codes"], first["active"], first["dead_codes"]) == (4, 2, 2)
    assert first["coverage"] == 0.5
    assert first["usage"] == [3, 0, 1, 0]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert first["entropy"] == pytest.approx(entropy)
    assert first["perplexity"] == pytest.approx(math.exp(entropy))
    assert first["entropy_ratio"] == pytest.approx(entropy / math.log(4))
    assert first["capacity"] == pytest.approx(1 / (0.75**2 + 0.25**2))
    assert first["gini"] == pytest.approx(5 / 8)  # mean difference over twice the mean
    paths = diagnosis["paths"]
    assert (paths["unique_sid"], paths["max_collision"]) == (3, 2)
    assert paths["no_collision_rate"] == 3 / 4
    assert paths["uniquely_identified_item_rate"] == paths["collision_rate"] == 0.5
    assert paths["capacity"] == pytest.approx(16 / 6)
    assert paths["top_share"] == {"1%": 0.5, "5%": 0.5, "10%": 0.5}
    assert [level["max"] for level in diagnosis["branching"]] == [2, 2]
    assert set(diagnosis["missing"]) == {
        "exposure",
        "error_share",
        "noise, flips",
        "behaviour",
        "chain",
    }


def test_exposure_weights_items() -> None:
    codes = torch.tensor([[0], [1], [2], [3]])
    diagnosis = diagnose(codes, exposure=torch.tensor([7, 1, 1, 1]))
    assert diagnosis["levels"][0]["gini"] == 0
    assert diagnosis["exposure"]["levels"][0]["usage"] == [7, 1, 1, 1]
    assert diagnosis["exposure"]["paths"]["top_share"]["10%"] == pytest.approx(0.7)
    assert diagnosis["paths"]["top_share"]["10%"] == 0.25


def test_even_and_distant_codewords_lose_no_capacity_to_noise() -> None:
    vectors = torch.eye(16) * 100
    diagnosis = diagnose(torch.arange(16)[:, None], [vectors], vectors=vectors, rhos=(0.1,))
    (noise,) = diagnosis["levels"][0]["noise"]
    assert noise["k_eff"] == pytest.approx(16, abs=1e-6)
    assert noise["distribution_penalty"] == noise["geometry_penalty"] == 0
    assert diagnosis["levels"][0]["error_share"] == diagnosis["error_share"] == 0
    assert diagnosis["flips"] == [{"rho": 0.1, "levels": [0.0], "path": 0.0}]
    assert diagnosis["greedy_share"] == 1


def test_two_codewords_have_the_overlap_of_two_gaussians() -> None:
    vectors = torch.tensor([[0.0], [2.0]])
    diagnosis = diagnose(torch.tensor([[0], [1]]), [vectors], vectors=vectors, rhos=(0.5, 1.0))
    for noise in diagnosis["levels"][0]["noise"]:
        assert noise["sigma"] == pytest.approx(noise["rho"])  # the spread of 0 and 2 is 1
        overlap = (1 + math.exp(-4 / (8 * noise["sigma"] ** 2))) / 2
        assert noise["overlap"] == pytest.approx(overlap)


def test_a_duplicated_codeword_does_not_add_capacity() -> None:
    vectors = torch.tensor([[0.0], [0.0], [4.0], [4.0]])
    one = diagnose(torch.tensor([[0], [0], [1], [1]]), books([[0.0], [4.0]]), vectors=vectors)
    two = diagnose(
        torch.tensor([[0], [1], [2], [2]]), books([[0.0], [0.0], [4.0]]), vectors=vectors
    )
    for old, new in zip(one["levels"][0]["noise"], two["levels"][0]["noise"], strict=True):
        assert new["k_eff"] == pytest.approx(old["k_eff"])
    assert two["levels"][0]["capacity"] > one["levels"][0]["capacity"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.sampled_from([0.01, 1.0, 30.0]))
def test_capacity_is_within_its_bounds(seed: int, size: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    book = scale * torch.randn(size, 3, generator=generator)
    codes = (torch.rand(50, generator=generator) ** 3 * size).int()[:, None]
    vectors = book[codes[:, 0].long()] + 0.3 * torch.randn(50, 3, generator=generator)
    (level,) = diagnose(codes, [book], vectors=vectors, samples=1)["levels"]
    capacities = [noise["k_eff"] for noise in level["noise"]]
    assert capacities == sorted(capacities, reverse=True)
    order = [1, capacities[-1], capacities[0], level["capacity"]]
    order += [level["perplexity"], level["active"], size]
    assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(order))
    for noise in level["noise"]:
        log_capacity = math.log(size) - noise["distribution_penalty"] - noise["geometry_penalty"]
        assert math.log(noise["k_eff"]) == pytest.approx(log_capacity, abs=1e-9)
        assert noise["k_eff"] * noise["overlap"] == pytest.approx(1)


def test_penalties_separate_spacing_from_usage() -> None:
    vectors = blobs()
    tokenizer = fitted(vectors)
    codes = tokenizer.encode(vectors)
    even = torch.arange(400, dtype=torch.int32)[:, None] % 16
    skewed = torch.where(even < 8, 0, even)
    book = tokenizer.codebooks[0]

    def penalties(codes: Tensor, book: Tensor) -> tuple[float, float]:
        noise = diagnose(codes, [book], vectors=vectors, rhos=(0.5,))["levels"][0]["noise"][0]
        return noise["distribution_penalty"], noise["geometry_penalty"]

    used, spaced = penalties(codes[:, :1], book)
    shrunk = penalties(codes[:, :1], book / 10)
    assert shrunk[0] == used
    assert shrunk[1] > spaced + 0.5
    assert penalties(skewed, book)[0] > penalties(even, book)[0] + 0.5


def test_ties_count_by_their_expectation() -> None:
    # Items 1 and 2 share a vector; item 3 is nearer to the query 0 than both.
    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.2]])
    row = np.array([0, 1, 1, 2])
    pairs = np.array([[0, 1]])
    assert hit_rates(vectors, row, pairs, (1, 2, 3)) == [0.0, 0.5, 1.0]
    # The query is no candidate: 1 retrieves 2, which has the same vector.
    assert hit_rates(vectors, row, np.array([[1, 2]]), (1,)) == [1.0]


def test_hit_rates_agree_with_a_sort() -> None:
    vectors = torch.nn.functional.normalize(blobs(300, spread=0.5), dim=1)
    pairs = np.random.default_rng(0).integers(300, size=(500, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    scores = (vectors @ vectors.T).fill_diagonal_(-2).numpy()
    nearest = np.argsort(-scores, axis=1)
    expected = [np.mean([j in nearest[i, :k] for i, j in pairs]) for k in (5, 50)]
    assert hit_rates(vectors, np.arange(300), pairs, (5, 50)) == pytest.approx(expected)


def test_exact_codes_have_full_retention() -> None:
    vectors = blobs(60, centres=60)
    pairs = torch.stack([torch.arange(40), torch.arange(20, 60)], dim=1)
    diagnosis = diagnose(torch.arange(60)[:, None], [vectors], vectors=vectors, pairs=pairs)
    behaviour = diagnosis["behaviour"]
    assert behaviour["pairs"] == 40
    assert behaviour["hit_rate"]["20"]["retention"] == pytest.approx(1)
    assert behaviour["sid_auc"] == behaviour["vector_auc"]


def test_finer_codes_have_higher_retention() -> None:
    vectors = blobs(400, centres=20, spread=0.2)
    near = torch.cdist(vectors, vectors).fill_diagonal_(9e9).argmin(dim=1)
    pairs = torch.stack([torch.arange(400), near], dim=1)
    behaviours = []
    for codes in (2, 32):
        tokenizer = fitted(vectors, codes)
        diagnosis = diagnose(tokenizer.encode(vectors), tokenizer, vectors=vectors, pairs=pairs)
        behaviours.append(diagnosis["behaviour"])
    assert (
        behaviours[0]["hit_rate"]["20"]["retention"]
        < 0.7
        < behaviours[1]["hit_rate"]["20"]["retention"]
    )
    assert behaviours[0]["sid_auc"] < behaviours[1]["sid_auc"]
    assert behaviours[1]["vector_auc"] > 0.99


def test_auc_of_equal_vectors_is_one_half() -> None:
    assert pair_auc(torch.ones(10, 3), np.array([[0, 1], [2, 3]]), seed=0) == 0.5


def test_flips_increase_with_noise_and_a_single_code_never_flips() -> None:
    vectors = blobs(spread=0.5)
    tokenizer = fitted(vectors)
    flips = diagnose(tokenizer.encode(vectors), tokenizer, vectors=vectors)["flips"]
    for name in ("path", 0, 1):
        rates = [each["path"] if name == "path" else each["levels"][name] for each in flips]
        assert rates == sorted(rates)
        assert 0 <= rates[0] < rates[-1] <= 1
    single = diagnose(torch.zeros(400, 1, dtype=torch.int32), [vectors[:1]], vectors=vectors)
    assert {each["path"] for each in single["flips"]} == {0.0}


def test_changed_codes_lower_the_greedy_share() -> None:
    vectors = blobs()
    tokenizer = fitted(vectors)
    codes = tokenizer.encode(vectors)
    codes[:100, 0] = (codes[:100, 0] + 1) % 16
    assert diagnose(codes, tokenizer, vectors=vectors)["greedy_share"] == 0.75


def test_metrics_are_repeatable_and_json_ready() -> None:
    vectors = blobs()
    tokenizer = fitted(vectors)
    codes, pairs = tokenizer.encode(vectors), torch.arange(200).reshape(100, 2)
    inputs: dict[str, Any] = {"vectors": vectors, "exposure": torch.rand(400), "pairs": pairs}
    diagnoses = [diagnose(codes, tokenizer, seed=seed, **inputs) for seed in (3, 3, 4)]
    assert json.dumps(diagnoses[0], allow_nan=False) == json.dumps(diagnoses[1])
    assert diagnoses[0]["flips"] != diagnoses[2]["flips"]


def test_equal_vectors_have_no_noise_metrics() -> None:
    vectors = torch.ones(5, 3)
    diagnosis = diagnose(torch.zeros(5, 1, dtype=torch.int32), [vectors[:1]], vectors=vectors)
    assert diagnosis["levels"][0]["noise"] == []
    assert diagnosis["paths"]["capacity"] == 1
    assert "<svg" in render(diagnosis, np.zeros((5, 1), dtype=np.int32), title="equal", details={})


def test_spread_of_a_single_outcome() -> None:
    measures = spread(np.array([5.0]), 1)
    assert measures["perplexity"] == measures["capacity"] == measures["entropy_ratio"] == 1
    assert measures["gini"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": torch.zeros(0, 2, dtype=torch.int32)}, "with at least one item and level"),
        ({"codes": torch.zeros(4, 2)}, r"got torch.float32 \[4, 2\]"),
        (
            {"codes": torch.tensor([[0], [0], [-1], [0]])},
            "must be 0 or more, got -1 for item 2",
        ),
        ({"vocab_sizes": (1,)}, r"codes must be below vocab_sizes \[1\], got up to \[1\]"),
        ({"vocab_sizes": (2, 2)}, "codes must be below vocab_sizes"),
        ({"exposure": torch.ones(3)}, r"exposure must be \[4\], got \[3\]"),
        ({"exposure": torch.zeros(4)}, "not all 0"),
        ({"exposure": torch.tensor([1.0, -1, 1, 1])}, "≥ 0"),
        ({"vectors": torch.ones(3, 2)}, r"floats \[4, D\]"),
        ({"vectors": torch.full((4, 1), torch.nan)}, "vector 0 is not finite"),
        ({"vectors": torch.ones(4, 3)}, "the codebooks' dimension 1, got"),
        ({"pairs": torch.tensor([[0, 4]])}, "rows from 0 to 3"),
        ({"pairs": torch.tensor([[1, 1]])}, "at least one pair of different items"),
        ({"pairs": torch.tensor([1, 2])}, r"rows \[E, 2\]"),
    ],
)
def test_invalid_arguments_are_errors(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "codes": torch.tensor([[0], [1], [1], [0]]),
        "codebooks": books([[0.0], [1.0]]),
        "vectors": torch.tensor([[0.0], [1.0], [1.0], [0.0]]),
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        diagnose(arguments.pop("codes"), arguments.pop("codebooks"), **arguments)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data set: users interact with 40 items of 4 colours, in the order of a ring."""
    folder = tmp_path_factory.mktemp("data") / "shop"
    folder.mkdir()
    rows = [f"{u},{(3 * u + step) % 40 + 1},{step}" for u in range(60) for step in range(6 + u % 4)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    colours = [["red", "green", "blue", "grey"][i % 4] for i in range(41)]
    rows = [f"{i},{colours[i]} thing {i},{colours[i]}" for i in range(1, 41)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,colour", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def tokenized(shop: Path) -> Path:
    out = shop.parent / "sids"
    arguments = ["--data", str(shop), "--levels", "2", "--codes", "8", "--out", str(out)]
    assert cli.run(["tokenize", *arguments]) == 0
    return out


def test_the_command_writes_json_and_page(
    tokenized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["diagnose", str(tokenized), "--out", str(tmp_path)]) == 0
    message = capsys.readouterr().out
    assert "missing" not in message
    diagnosis = read_json(tmp_path / "diagnosis.json", kind="sid-diagnosis")
    assert diagnosis["items"] == 40
    assert diagnosis["missing"] == {}
    assert diagnosis["config"]["attributes"] == ["colour"]
    assert diagnosis["chain"]["gain"]["plug_in"] > 0
    assert diagnosis["behaviour"]["pairs"] > 60
    assert sum(diagnosis["exposure"]["levels"][0]["usage"]) == sum(6 + u % 4 - 2 for u in range(60))
    assert diagnosis["error_share"] == pytest.approx(
        read_json(tokenized / "metrics.json", kind="metrics")["error_share"]
    )
    page = (tmp_path / "diagnosis.html").read_text()
    assert f"{diagnosis['paths']['unique_sid']} semantic IDs for 40 items" in page
    for expected in ("under noise", "Codewords of level 0", "Children per node", "retention@20"):
        assert expected in page
    assert "Missing metrics" not in page
    assert not re.search(r"<(script|link|img)|@import|#0000", page)
    assert re.findall(r"url\((?!#)", page) == []


def test_unknown_attributes_are_an_error(
    tokenized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["diagnose", str(tokenized), "--attributes", "brand", "--out", str(tmp_path)]
    assert cli.run(arguments) == 1
    message = capsys.readouterr().err
    assert (
        "attributes must name categorical columns of the items, got 'brand'; available" in message
    )


def test_missing_data_is_listed_and_the_other_metrics_are_computed(
    tokenized: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shop.rename(shop.with_name("elsewhere"))
    try:
        assert cli.run(["diagnose", str(tokenized), "--out", str(moved)]) == 0
        assert "missing: data: no data set and no folder" in capsys.readouterr().out
        diagnosis = read_json(moved / "diagnosis.json", kind="sid-diagnosis")
        assert set(diagnosis["missing"]) == {"data", "exposure", "behaviour", "chain"}
        arguments = ["diagnose", str(tokenized), "--data", str(shop), "--out", str(moved)]
        assert cli.run(arguments) == 1
        elsewhere = str(shop.with_name("elsewhere"))
        arguments = ["diagnose", str(tokenized), "--data", elsewhere, "--out", str(moved)]
        assert cli.run(arguments) == 0
    finally:
        shop.with_name("elsewhere").rename(shop)
    assert read_json(moved / "diagnosis.json", kind="sid-diagnosis")["missing"] == {}


def test_vectors_from_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", blobs(64).numpy())
    own = ["--vectors", str(tmp_path / "v.npy"), "--levels", "2", "--codes", "8"]
    assert cli.run(["tokenize", *own, "--out", str(tmp_path / "sids")]) == 0
    (tmp_path / "v.npy").rename(tmp_path / "w.npy")
    assert cli.run(["diagnose", str(tmp_path / "sids")]) == 0
    diagnosis = read_json(tmp_path / "sids" / "diagnosis.json", kind="sid-diagnosis")
    assert "v.npy: no such file" in diagnosis["missing"]["vectors"]
    options = ["--vectors", str(tmp_path / "w.npy"), "--out", str(tmp_path / "again")]
    assert cli.run(["diagnose", str(tmp_path / "sids"), *options]) == 0
    diagnosis = read_json(tmp_path / "again" / "diagnosis.json", kind="sid-diagnosis")
    assert len(diagnosis["levels"][0]["noise"]) == 5
    assert set(diagnosis["missing"]) == {"exposure", "behaviour", "chain"}


def test_a_file_of_sids_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = np.array([[0, 1], [2, 0], [2, 0]], dtype=np.int32)
    save_sids(tmp_path / "sids.parquet", Sids(np.array([5, 7, 2**60]), codes))
    assert cli.run(["diagnose", str(tmp_path)]) == 0
    assert "missing: tokenizer.safetensors: not in the folder" in capsys.readouterr().out
    diagnosis = read_json(tmp_path / "diagnosis.json", kind="sid-diagnosis")
    assert diagnosis["paths"]["unique_sid"] == 2
    assert "Missing metrics" in (tmp_path / "diagnosis.html").read_text()


def pandas_file(path: Path, columns: dict[str, Any]) -> Path:
    """Write Parquet like pandas: int64 codes, large strings, an index column, no seal."""
    table = pa.table(columns)
    table = table.append_column("__index_level_0__", pa.array(range(len(table)), pa.int64()))
    pandas = {
        "index_columns": ["__index_level_0__"],
        "columns": [],
        "creator": {"library": "pyarrow"},
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)
    return path


@pytest.mark.parametrize("with_text", [False, True])
def test_sids_that_pandas_wrote(shop: Path, tmp_path: Path, with_text: bool) -> None:
    data = tmp_path / "shop"
    shutil.copytree(shop, data)
    ids: Any = pa.array(range(1, 41), pa.int64())
    if with_text:
        for name in ("interactions", "items"):
            lines = (shop / f"{name}.csv").read_text().splitlines()
            at = lines[0].split(",").index("item_id")
            rows = [line.split(",") for line in lines[1:]]
            rows = [[f"t{v}" if i == at else v for i, v in enumerate(row)] for row in rows]
            text = "\n".join([lines[0], *map(",".join, rows)])
            (data / f"{name}.csv").write_text(text)
        ids = pa.array([f"t{i}" for i in (*range(2, 41), 1)], pa.large_string())
    codes = {
        "c0": pa.array([i // 5 for i in range(40)]),
        "c1": pa.array([i % 5 for i in range(40)]),
    }
    pandas_file(tmp_path / "sids.parquet", {"note": ["x"] * 40, "item_id": ids, **codes})
    assert cli.run(["diagnose", str(tmp_path), "--data", str(data)]) == 0
    diagnosis = read_json(tmp_path / "diagnosis.json", kind="sid-diagnosis")
    assert diagnosis["paths"]["unique_sid"] == 40
    assert [sum(level["usage"]) for level in diagnosis["exposure"]["levels"]] == [330, 330]
    # Items 36 to 40, or t37 to t40 and t1, share the last code.
    events = [(3 * u + step) % 40 + 1 for u in range(60) for step in range(4 + u % 4)]
    last = (37, 38, 39, 40, 1) if with_text else (36, 37, 38, 39, 40)
    assert diagnosis["exposure"]["levels"][0]["usage"][7] == sum(event in last for event in events)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": [1], "c1": [0]}, "columns must be item_id, c0, c1, …, got item_id, c1"),
        ({"item": [1], "c0": [0]}, "columns must be item_id, c0, c1, …, got item, c0"),
        ({"item_id": [1], "c0": [0.5]}, "column c0 must hold integers without nulls"),
        ({"item_id": [1, 2], "c0": [0, None]}, "column c0 must hold integers without nulls"),
        ({"item_id": [1], "c0": [-1]}, "column c0 must hold codes from 0 to 2^31 - 1"),
        ({"item_id": [1], "c0": [2**31]}, "column c0 must hold codes from 0 to 2^31 - 1"),
        ({"item_id": [1, 1], "c0": [0, 0]}, "column item_id must name each item once"),
        ({"item_id": [1, None], "c0": [0, 0]}, "column item_id must name each item once"),
    ],
)
def test_invalid_sids_of_another_program_are_an_error(
    columns: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pandas_file(tmp_path / "sids.parquet", columns)
    assert cli.run(["diagnose", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_damaged_sids_are_an_error(
    tokenized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((tokenized / "sids.parquet").read_bytes())
    (tmp_path / "sids.parquet").write_bytes(content[: len(content) // 2])
    assert cli.run(["diagnose", str(tmp_path)]) == 1
    content[8] ^= 1
    (tmp_path / "sids.parquet").write_bytes(content)
    assert cli.run(["diagnose", str(tmp_path)]) == 1
    cut, flipped = capsys.readouterr().err.splitlines()
    assert "truncated" in cut
    assert "damaged (checksum mismatch)" in flipped


TWO_STAGES = {"align": "rft", "reward_strength": "0"}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "more"), [("unirec", {}), ("unirec", TWO_STAGES), ("tiger", {})])
def test_the_folder_of_a_training(
    model: str,
    more: dict[str, str],
    shop: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {**SETTINGS[model], **more}
    pairs = [f"--set={name}={value}" for name, value in settings.items()]
    train = ["train", model, "--data", str(shop), "--out", str(tmp_path / "m"), "--quick", *pairs]
    assert cli.run([*train, "--split", "global-time"]) == 0
    assert cli.run(["diagnose", str(tmp_path / "m")]) == 0
    assert "missing" not in capsys.readouterr().out
    diagnosis = read_json(tmp_path / "m" / "diagnosis.json", kind="sid-diagnosis")
    assert diagnosis["items"] == 40
    assert diagnosis["config"]["split"] == "global-time"
    assert diagnosis["config"]["attributes"] == ["colour"]
    assert diagnosis["error_share"] < 1
    split = named_split(load(str(shop)), "global-time")[1]
    events = sum(diagnosis["exposure"]["levels"][0]["usage"])
    assert events == len(split.histories().items)


def test_sids_of_a_data_set(tmp_path: Path) -> None:
    people = {str(user): [user % 3, (user + 1) % 3, (user + 2) % 3] for user in range(5)}
    sids = {str(item): [f"<a_{item % 2}>", f"<b_{item}>"] for item in range(3)}
    data = tmp_path / "letters"
    data.mkdir()
    (data / "shop.inter.json").write_text(json.dumps(people))
    (data / "shop.index.json").write_text(json.dumps(sids))
    assert cli.run(["data", "import", "letter", str(data), "--out", str(tmp_path / "shop")]) == 0
    out = tmp_path / "out"
    assert cli.run(["diagnose", str(tmp_path / "shop"), "--out", str(out)]) == 0
    diagnosis = read_json(out / "diagnosis.json", kind="sid-diagnosis")
    assert diagnosis["levels"][0]["usage"] == [2, 1]
    assert sum(diagnosis["exposure"]["levels"][0]["usage"]) == 5


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("nowhere", 2, "no data set and no folder 'nowhere'"), ("", 2, "holds no sids.parquet")],
)
def test_a_missing_source_is_an_error(
    name: str, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["diagnose", name or str(tmp_path), "--out", str(tmp_path / "out")]) == code
    assert message in capsys.readouterr().err


def test_text_from_the_configuration_is_escaped() -> None:
    diagnosis = diagnose(torch.tensor([[0], [1]]))
    hostile = "<script>\x1b[31m\u202ealert('&')</script>"
    page = render(
        {**diagnosis, "missing": {hostile: hostile}},
        np.array([[0], [1]], dtype=np.int32),
        title=hostile,
        details={hostile: {hostile: hostile}},
    )
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_vectors_may_have_16_bits_and_gradients() -> None:
    vectors = blobs()
    tokenizer = fitted(vectors)
    codes = tokenizer.encode(vectors)
    parameters = vectors.bfloat16().requires_grad_()
    diagnosis = diagnose(codes, tokenizer, vectors=parameters)
    assert diagnosis["error_share"] == pytest.approx(
        diagnose(codes, tokenizer, vectors=vectors)["error_share"], rel=0.05
    )
