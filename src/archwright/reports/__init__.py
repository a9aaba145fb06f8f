"""Trials and results → pages for people."""
