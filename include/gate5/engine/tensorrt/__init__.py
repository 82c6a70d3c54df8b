"""TensorRT 8.5, 10 and 11: builder and runtime."""
