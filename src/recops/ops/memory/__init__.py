"""Memory networks: the primitives of external memories, MIMN and HPMN."""
