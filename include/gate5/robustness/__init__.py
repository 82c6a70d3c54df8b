"""How badly a controller does at worst: many episodes, the searched-for case, the disturbed plant."""
