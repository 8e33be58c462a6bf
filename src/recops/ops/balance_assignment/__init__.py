"""Assignment of rows to their nearest codewords under capacities."""
