"""How a run comes to its metrics, one kind a file."""
