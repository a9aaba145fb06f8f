"""Count parameters, operations and memory of a network, on meta tensors."""
