"""Backends of ``torch.compile`` for tests of ops.

AOTAutograd traces an op forward and backward, with its shapes and aliases. Inductor then generates
code for what surrounds the op, which takes most of the time and depends on the op's kind only: so
``.ci/run`` compiles one call per family with it, and ``.ci/full`` all others.
"""

from __future__ import annotations

import pytest


def _backends(inductor: pytest.MarkDecorator) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "backend", ["aot_eager", pytest.param("inductor", marks=inductor)]
    )


every_backend = _backends(pytest.mark.full)
inductor_in_ci = _backends(pytest.mark.slow)
