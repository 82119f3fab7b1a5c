"""Reconciliation: what two sides say of the same, compared."""
