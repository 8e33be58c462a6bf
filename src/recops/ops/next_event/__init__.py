"""DIEN's auxiliary loss, which trains states to predict the next event."""
