"""The books: journals, the rules that make them, periods, rates."""
