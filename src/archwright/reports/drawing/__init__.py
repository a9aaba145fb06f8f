"""Pictures of architectures: cells as layered graphs, chains as strips, in SVG and PNG."""
