"""Pytest plugin: take the Triton kernels of a family from a folder with a defect in them.

``RECOPS_DEFECT`` is a folder with a changed copy of ``ops/<family>/triton``, and
``RECOPS_DEFECT_FAMILY`` names the family.
"""

from __future__ import annotations

import os
from importlib import import_module

_family = import_module(f"recops.ops.{os.environ['RECOPS_DEFECT_FAMILY']}")
_family.__path__.insert(0, os.environ["RECOPS_DEFECT"])
