"""The release in charge of the plant: ``gate5 run``; the supervisor here, the engine in a process of its own."""
