"""Architectures as numbers, for predictors."""
