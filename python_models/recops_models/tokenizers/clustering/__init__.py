"""Clusters of points, in memory or streamed: what the quantizing methods are made of."""
