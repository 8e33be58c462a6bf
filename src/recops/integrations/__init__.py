"""Formats and hooks of other libraries, one file per library, independent of each other."""
