"""Who buys: customers and their accounts."""
