"""Where states live: one small interface, and a file for each kind of store."""
