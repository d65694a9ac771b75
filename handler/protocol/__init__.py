"""The Open Inference Protocol: tensors in, tensors out."""
