"""Write a network and its weights to files that other programs read: safetensors, ONNX, Python source."""
