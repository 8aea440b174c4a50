"""The two worlds that everything is compared with: snnTorch's floats, and the chip's integers."""
