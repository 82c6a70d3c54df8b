"""What the DAG files share. No numerics and nothing heavy at import time: the DAG parser loads this every time."""
