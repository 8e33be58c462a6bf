"""Machine code of Triton kernels: compiled from what launchers launch. Needs no GPU."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_TYPES = {
    torch.float64: "*fp64",
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
_SETTINGS = ("num_warps", "num_stages", "enable_fp_fusion")


@dataclass(frozen=True)
class MachineCode:
    """Compiled kernel: registers per thread, shared memory per block in bytes, and opcodes."""

    registers: int
    shared: int
    opcodes: tuple[str, ...]

    @property
    def spills(self) -> int:
        """Number of instructions that store registers to local memory."""
        return self.opcodes.count("STL")

    @property
    def instructions(self) -> dict[str, int]:
        """Number of instructions by opcode."""
        return dict(Counter(self.opcodes))


@dataclass(frozen=True)
class KernelLaunch:
    """One launch: the kernel, its grid, and the values of its parameters and settings."""

    kernel: Any
    grid: tuple[int, ...]
    values: dict[str, Any]
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return str(self.kernel.fn.__name__)

    def compile(self, capability: int) -> MachineCode:
        """Compile the kernel of this launch for a card.

        Args:
            capability: compute capability, such as 90.
        """
        signature, constants, aligned = {}, {}, []
        for parameter in self.kernel.params:
            value = self.values[parameter.name]
            if parameter.is_constexpr or value is None:
                signature[parameter.name], constants[parameter.name] = "constexpr", value
            elif isinstance(value, Tensor):
                signature[parameter.name] = _TYPES[value.dtype]
                aligned.append(parameter.name)
            else:
                signature[parameter.name] = "fp32" if isinstance(value, float) else "i32"
                if not parameter.do_not_specialize and value % 16 == 0:
                    aligned.append(parameter.name)
        return compile_kernel(self.kernel, signature, constants, aligned, capability, self.settings)


@contextmanager
def recorded_launches() -> Iterator[list[KernelLaunch]]:
    """Record launches of Triton kernels instead of running them."""
    from triton.runtime.jit import JITFunction

    launches: list[KernelLaunch] = []

    def record(self: Any, *arguments: Any, grid: Any, warmup: bool, **more: Any) -> None:
        settings = {name: more.pop(name) for name in _SETTINGS if name in more}
        values = {**dict(zip(self.arg_names, arguments, strict=False)), **more}
        launches.append(KernelLaunch(self, tuple(grid), values, settings))

    original = JITFunction.run
    JITFunction.run = record
    try:
        yield launches
    finally:
        JITFunction.run = original


def compile_kernel(
    kernel: Any,
    signature: Mapping[str, str],
    constants: Mapping[str, Any],
    aligned: Sequence[str],
    capability: int,
    settings: Mapping[str, Any],
) -> MachineCode:
    """Compile a kernel for a card.

    Args:
        kernel: function with ``triton.jit``.
        signature: Triton's type of each parameter.
        constants: values of the parameters whose type is "constexpr".
        aligned: parameters that are multiples of 16.
        capability: compute capability, such as 90.
        settings: ``num_warps``, ``num_stages`` and ``enable_fp_fusion``.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature=dict(signature),
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options=dict(settings))
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        code = _output("nvdisasm", "-c", file.name)
        usage = _output("cuobjdump", "--dump-resource-usage", file.name)
    opcodes = re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\d+\s+)?([A-Z0-9]+)", code, re.M)
    registers = max(map(int, re.findall(r"REG:(\d+)", usage)))
    return MachineCode(registers, int(compiled.metadata.shared), tuple(opcodes))


def _output(program: str, *arguments: str) -> str:
    """Run a program of CUDA's tools, which the package of Triton contains."""
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / program
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout
