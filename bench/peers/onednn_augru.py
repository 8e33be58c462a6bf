"""AUGRU of oneDNN on float32 tensors. It needs oneDNN's headers and library (libdnnl-dev)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_suffix(".cpp")


class Unavailable(RuntimeError):
    """Error: the peer cannot be built, because oneDNN or a compiler is missing."""


def build() -> ctypes.CDLL:
    """Compile and load the peer's library, with CXX, CPATH and LIBRARY_PATH of the environment.

    Raises:
        Unavailable: the library cannot be compiled or loaded.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise Unavailable("no C++ compiler")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "onednn_augru.so"
        command = [compiler, "-O2", "-std=c++20", "-shared", "-fPIC", SOURCE, "-o", library]
        result = subprocess.run([*command, "-ldnnl"], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise Unavailable(result.stderr)
        try:
            loaded = ctypes.CDLL(str(library))
        except OSError as error:
            raise Unavailable(str(error)) from error
    loaded.augru_new.restype = ctypes.c_void_p
    return loaded


class OneDnnAugru:
    """AUGRU layer with update "or" and the arguments of :func:`recops.recurrent_layer`.

    The constructor copies the inputs to time-major order, as oneDNN requires.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        x: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        bias: Tensor,
        h0: Tensor,
        attention: Tensor,
        grad_outputs: Tensor,
        *,
        reset: str,
    ) -> None:
        batch, steps, inputs = x.shape
        hidden = w_hh.shape[1]
        order = [1, 0, 2]  # update, reset, candidate
        biases = bias.view(3, hidden)[order]
        if reset == "after":  # oneDNN has a separate bias for the product
            biases = torch.cat([biases[:2], torch.zeros(1, hidden), biases[2:]])[[0, 1, 3, 2]]
        self._inputs = [
            x.transpose(0, 1).contiguous(),
            attention.T.contiguous(),
            h0.contiguous(),
            w_ih.view(3, hidden, inputs)[order].permute(2, 0, 1).contiguous(),
            w_hh.view(3, hidden, hidden)[order].permute(2, 0, 1).contiguous(),
            biases.contiguous(),
            grad_outputs.transpose(0, 1).contiguous(),
        ]
        self._results = [
            torch.empty(steps, batch, hidden),
            torch.empty(batch, hidden),
            torch.empty(steps, batch, inputs),
            torch.empty(steps, batch),
            torch.empty(batch, hidden),
        ]
        self._library = library
        self._cell = ctypes.c_void_p(
            library.augru_new(
                *(ctypes.c_int64(size) for size in (batch, steps, inputs, hidden)),
                ctypes.c_bool(reset == "after"),
                _pointers(self._inputs),
                _pointers(self._results),
            )
        )

    def __del__(self) -> None:
        self._library.augru_delete(self._cell)

    def infer(self) -> Tensor:
        """Return ``outputs [B, T, H]``."""
        self._library.augru_infer(self._cell)
        return self._results[0].transpose(0, 1)

    def train(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and attention."""
        self._library.augru_train(self._cell)
        return self._results[2].transpose(0, 1), self._results[3].T


def _pointers(tensors: list[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
