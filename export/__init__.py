"""Trained networks to exact graphs, integers, NIR and ONNX; imports only `hardware_profiles`."""
