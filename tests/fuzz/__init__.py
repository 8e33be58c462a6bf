"""Random calls of every public function and every raw op: ``python -m fuzz`` with PYTHONPATH=tests.

Calls are drawn from signatures, schemas and the shapes that docstrings tell (:mod:`fuzz.draw`), run
in processes of their own with limits (:mod:`fuzz.run`), judged (:mod:`fuzz.judge`), and what fails
is shrunk (:mod:`fuzz.shrink`). What is exported is fuzzed.
"""
