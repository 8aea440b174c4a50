"""What integers cost, and how to pay less: calibration on data, quantisation-aware training, the report."""
