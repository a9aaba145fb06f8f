"""The vocabulary of archwright: plain data and arithmetic, without torch and without files."""
