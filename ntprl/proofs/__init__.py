"""Machine checks of the statements on the proofs page."""
