"""Fuzzer of every public function and every raw op: ``python -m fuzz`` with PYTHONPATH=tests.

:mod:`fuzz.targets` lists the functions. :mod:`fuzz.draw` draws arguments by signatures, schemas and
the shapes in docstrings. :mod:`fuzz.processes` makes the calls in child processes with limits,
:mod:`fuzz.judge` classifies the outcomes, and :mod:`fuzz.shrink` simplifies failing calls.
"""
