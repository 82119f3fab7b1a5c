"""One file for each question a person brings."""
