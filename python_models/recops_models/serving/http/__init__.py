"""The User Interest Center over HTTP: events in, scores out, one process beside its store."""
