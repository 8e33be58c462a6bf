"""Examples of models: click examples and sequences, in memory and streamed from files."""
