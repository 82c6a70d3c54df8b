"""What only TensorRT before 10 needs (8.5, of JetPack 5): a plan of its own for batch 1, compiled as one piece from a
rewritten graph; its precision proven by the weights in the plan; and Python frames that its bindings never let go."""
