"""Returns: from the request to the refund."""
