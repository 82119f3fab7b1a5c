"""Orders: from their capture to the door, and what is paid for them."""
