"""One module a step: PROVES says what a passed step shows, run(world) answers its figures or raises."""
