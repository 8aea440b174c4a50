"""A whole float network as one ONNX model, and ONNX Runtime to run it."""
