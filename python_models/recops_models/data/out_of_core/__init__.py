"""Import of interactions larger than memory: sorted runs, partitions and string numbers on disk."""
