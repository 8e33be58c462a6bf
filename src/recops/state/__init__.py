"""What carries state between calls: tries with their masks and bans, and the live catalogue."""
