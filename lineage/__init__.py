"""Lineage answers what happened to a transaction and whether the promises made about it were kept."""
