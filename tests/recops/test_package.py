"""The package: cost of the import, build information, instruction sets and errors at import."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from importlib import metadata, resources

import pytest
import torch

import recops
from recops import reference


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


MEASURE_IMPORT = """
import json, sys, time
import torch

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))  # KiB

before, start = resident(), time.perf_counter()
import recops
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "mebibytes": (resident() - before) / 1024,
    "heavy": sorted({"triton", "pandas", "matplotlib", "sklearn", "pyarrow"} & sys.modules.keys()),
}))
"""


def test_import_is_light() -> None:
    # The minimum of three runs, since other work can only make an import slower.
    runs = [json.loads(run_python(MEASURE_IMPORT).stdout) for _ in range(3)]
    assert min(run["seconds"] for run in runs) < 0.5
    assert min(run["mebibytes"] for run in runs) < 30
    assert runs[0]["heavy"] == []


def test_submodules_are_imported_at_their_first_use() -> None:
    code = (
        "import sys, recops; loaded = 'recops.reference' in sys.modules;"
        "print(loaded, recops.reference.rq_encode.__module__, hasattr(recops, 'referee'))"
    )
    expected = "False recops.reference.residual_quantization False"
    assert run_python(code).stdout.strip() == expected


@pytest.mark.parametrize("name", sorted({*recops.__all__} & {*reference.__all__}))
def test_the_reference_has_the_signatures_of_the_ops(name: str) -> None:
    actual, correct = (
        [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
        for function in (getattr(reference, name), getattr(recops, name))
    )
    assert actual == correct


def test_build_info() -> None:
    info = recops.build_info()
    assert info["version"] == recops.__version__ == metadata.version("recops")
    assert info["torch_target"] == "2.10"
    assert re.match(r"(GCC|Clang) \d+", str(info["compiler"]))
    assert (info["cuda_runtime"] is None) == (info["cuda_architectures"] is None)


@pytest.mark.parametrize("isa", ["base", "avx2", "avx512"])
def test_isa_can_be_forced(isa: str) -> None:
    result = run_python("import recops; print(recops.cpu_isa())", RECOPS_ISA=isa)
    if result.returncode == 0:
        assert result.stdout.strip() == isa
    else:
        best = run_python("import recops; print(recops.cpu_isa())", RECOPS_ISA="").stdout.strip()
        expected = f"ValueError: recops: RECOPS_ISA={isa}, but this CPU offers {best} at most"
        assert result.stderr.strip().splitlines()[-1] == expected


def test_unknown_isa_is_refused_at_import() -> None:
    result = run_python("import recops", RECOPS_ISA="sse9")
    expected = "ValueError: recops: RECOPS_ISA=sse9 is not one of base, avx2, avx512"
    assert result.stderr.strip().splitlines()[-1] == expected


def test_a_missing_library_raises_with_advice() -> None:
    code = "import torch, importlib.util as u; u.find_spec = lambda name: None; import recops"
    last = run_python(code).stderr.strip().splitlines()[-1]
    assert last == "ImportError: recops: the op library is missing; reinstall with `pip install .`"


@pytest.mark.parametrize("package", ["recops", "recops_models"])
def test_packages_are_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()


def test_ops_raise_value_errors_under_every_torch() -> None:
    codebook = torch.full((2, 3), float("nan"))
    for op in (torch.ops.recops.nearest_codes, torch.ops.recops.nearest_codes.default):
        with pytest.raises(
            ValueError, match=r"^nearest_codes: codebook must be finite.*codebook\[0\]"
        ):
            op(torch.ones(1, 3), codebook, 1)
        with pytest.raises(
            RuntimeError, match="nearest_codes"
        ):  # an error of torch for a wrong call
            op(torch.ones(1, 3))


def test_without_transformers_the_extra_is_named() -> None:
    result = run_python("import sys; sys.modules['transformers'] = None; import recops.hf")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ImportError: recops.hf needs transformers, which is not installed: "
        "pip install 'recops[hf]'"
    )
