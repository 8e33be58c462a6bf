"""Item graphs, and tables of knowledge about users and items."""
