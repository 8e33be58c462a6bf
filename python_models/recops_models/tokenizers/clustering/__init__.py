"""Clustering of points, in memory or streamed, for the quantizing methods."""
