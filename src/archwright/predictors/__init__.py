"""Models that predict scores of architectures from their encodings."""
