"""What carries state between calls."""
