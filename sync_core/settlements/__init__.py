"""Settlements: what providers and banks say, matched with what we expect."""
