"""Resources of compiled Triton kernels: registers, shared memory, instructions. Needs no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from recops.benchmarks.cuda.machine_code import compile_kernel as compile_code
from recops.ops.residual_quantization.triton.table import Configuration, load_table

KERNELS: dict[str, str] = {
    "half_norms": "half_norms",
    "round_residuals": "residuals",
    "squared_errors": "residuals",
    "scan_codewords": "scan",
    "decide_pairs": "exact",
    "score_all": "exact",
    "write_listed": "exact",
}
"""Module of each kernel in ``recops.ops.residual_quantization.triton.kernels``."""

_TENSOR_CORE = ("HMMA", "HGMMA")
_FLOAT32 = ("shift", "facts", "ratio", "bound", "half", "norm", "error")
_ROUNDED = ("rounded", "rounded_words")
_TYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Resources:
    """Resources of one compiled kernel.

    ``shared`` is the shared memory of a block in bytes. ``spills`` counts instructions that store
    registers to local memory. ``loop_spills`` counts instructions that store to or load from it
    between the first and the last instruction of tensor cores. ``instructions`` counts the
    instructions by opcode.
    """

    kernel: str
    configuration: str
    capability: int
    dtype: str
    registers: int
    shared: int
    spills: int
    loop_spills: int
    instructions: dict[str, int]

    @property
    def tensor_core_instructions(self) -> int:
        """Number of instructions that run on tensor cores."""
        return sum(self.instructions.get(name, 0) for name in _TENSOR_CORE)


def compilations(capability: int, dtypes: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of :func:`compile_kernel` for all configurations of a card."""
    for configuration in load_table():
        if configuration.capability == capability:
            for kernel in KERNELS:
                for dtype in dtypes if _reads_rows(kernel) else dtypes[:1]:
                    yield kernel, configuration, capability, dtype


def compile_kernel(
    kernel: str, configuration: Configuration, capability: int, dtype: str
) -> Resources:
    """Compile a kernel for a card and return its resources.

    Args:
        kernel: name of the kernel, from :data:`KERNELS`.
        configuration: launch configuration.
        capability: compute capability, 80 or 90.
        dtype: dtype of rows and codewords.
    """
    function = _function(kernel)
    launch = configuration.kernels[kernel]
    # Rounding has no tile of codewords; it takes the width of the scan's.
    scan = configuration.kernels["scan_codewords"].tiles
    constants: dict[str, int | bool] = {"BLOCK_CODES": scan["BLOCK_CODES"], **launch.tiles}
    if "BLOCK_CODES" not in function.arg_names:
        del constants["BLOCK_CODES"]
    if "UPCAST" in function.arg_names:
        constants["UPCAST"] = False
    names = function.arg_names
    # Pointers and the padded dimension are multiples of 16 in every launch, and most dimensions.
    aligned = [name for name in names if name.endswith("_ptr") or name.endswith("dim")]
    code = compile_code(
        function,
        {name: _type(name, dtype, configuration.operand) for name in names},
        constants,
        aligned,
        capability,
        {
            "num_warps": launch.num_warps,
            "num_stages": launch.num_stages,
            "enable_fp_fusion": True,
        },
    )
    products = [n for n, opcode in enumerate(code.opcodes) if opcode in _TENSOR_CORE] or [0]
    loop = code.opcodes[products[0] : products[-1]]
    return Resources(
        kernel,
        configuration.name,
        capability,
        dtype,
        registers=code.registers,
        shared=code.shared,
        spills=code.spills,
        loop_spills=loop.count("STL") + loop.count("LDL"),
        instructions=code.instructions,
    )


def _function(kernel: str) -> Any:
    module = f"recops.ops.residual_quantization.triton.kernels.{KERNELS[kernel]}"
    return getattr(import_module(module), kernel)


def _reads_rows(kernel: str) -> bool:
    return any(name in ("x_ptr", "words_ptr") for name in _function(kernel).arg_names)


def _type(name: str, dtype: str, operand: str) -> str:
    """Return Triton's type of an argument."""
    if not name.endswith("_ptr"):
        return "constexpr" if name.isupper() else "i32"
    stem = name.removesuffix("_ptr")
    if stem in ("x", "words"):
        return f"*{_TYPES[dtype]}"
    if stem in _ROUNDED:
        return f"*{_TYPES[operand]}"
    if stem in _FLOAT32:
        return "*fp32"
    return "*i64" if stem == "keys" else "*i32"
