"""From claims to findings: which runs they ask for, what is kept of them, what they show."""
