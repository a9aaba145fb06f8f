"""Image classification: arrays in memory, files that are streamed, and what is done to pictures on their way."""
