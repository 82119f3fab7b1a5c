"""Stock: what is where, what of it may be sold, and who is told."""
