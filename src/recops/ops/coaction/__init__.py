"""Co-action: each candidate's small network, applied to every event of a history."""
