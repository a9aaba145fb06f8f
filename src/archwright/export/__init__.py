"""A network and its weights → files that others can read: safetensors, ONNX."""
