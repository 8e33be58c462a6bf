"""What carries state between calls: tries with masks and bans, the live catalogue, memories."""
