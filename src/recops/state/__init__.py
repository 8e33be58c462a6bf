"""Objects that carry state between calls: tries, masks, bans, the live catalogue, memories."""
