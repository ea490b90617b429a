"""Does the simulator agree with the bill? Recorded requests, predicted one by one from what came before them."""
