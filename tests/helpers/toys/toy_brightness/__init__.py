"""A job of another package: how bright each segment of a catalog is, a row a segment. Small on purpose."""
