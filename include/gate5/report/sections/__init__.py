"""The report's sections, one module each; every ``section`` takes the artifacts and gives HTML."""
