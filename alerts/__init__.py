"""The right owner is paged, once, with the reason and the money."""
