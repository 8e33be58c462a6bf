"""oneDNN's AUGRU for float32 tensors, where its headers and library are installed (libdnnl-dev)."""

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
    """There is no oneDNN, or no compiler, to build the peer with."""


def build() -> ctypes.CDLL:
    """The peer's library, compiled into a temporary folder. CXX, CPATH and LIBRARY_PATH count.

    Raises:
        Unavailable: it cannot be compiled or loaded here.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise Unavailable("no C++ compiler")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "onednn_augru.so"
        command = [compiler, "-O2", "-std=c++20", "-shared", "-fPIC", SOURCE, "-o", library]
        done = subprocess.run([*command, "-ldnnl"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(done.stderr)
        try:
            loaded = ctypes.CDLL(str(library))
        except OSError as error:
            raise Unavailable(str(error)) from error
    loaded.augru_new.restype = ctypes.c_void_p
    return loaded


class OneDnnAugru:
    """An AUGRU layer of update "or", with the arguments of :func:`recops.recurrent_layer`.

    Inputs are laid out in time-major order beforehand, as oneDNN wants them.
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
        if reset == "after":  # one of the product's own
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
        """``outputs [B, T, H]``."""
        self._library.augru_infer(self._cell)
        return self._results[0].transpose(0, 1)

    def train(self) -> tuple[Tensor, Tensor]:
        """The gradients of x and attention."""
        self._library.augru_train(self._cell)
        return self._results[2].transpose(0, 1), self._results[3].T


def _pointers(tensors: list[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
