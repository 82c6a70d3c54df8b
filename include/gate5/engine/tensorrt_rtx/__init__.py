"""TensorRT-RTX: engines that are built without a GPU, the same to the byte everywhere, and finished on the device."""
