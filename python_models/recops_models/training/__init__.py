"""Training: one trainer for every model that learns by gradient. It knows no model by name."""
