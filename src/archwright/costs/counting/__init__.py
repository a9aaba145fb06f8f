"""Counting what one network takes, on meta tensors."""
