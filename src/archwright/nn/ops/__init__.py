"""Candidate operations: plain modules with their own parameters."""
