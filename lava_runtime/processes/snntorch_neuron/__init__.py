"""All neurons of snnTorch that stock Lava does not know: the Process, and its ProcessModels."""
