"""Co-action: a candidate's own small network, applied to every event of a history."""
