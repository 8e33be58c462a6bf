"""Assignment to the nearest codewords under a capacity of each."""
