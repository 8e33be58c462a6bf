"""Other libraries' formats and hooks: each a thin file, which nothing else here imports."""
