"""What several models share: one file a layer."""
