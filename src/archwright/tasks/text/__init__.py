"""Texts, and predicting them token by token."""
