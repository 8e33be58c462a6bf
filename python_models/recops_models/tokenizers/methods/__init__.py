"""The methods that make semantic IDs, one file each, and what they share."""
