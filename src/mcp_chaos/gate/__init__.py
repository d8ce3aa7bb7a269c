"""The gate: several experiments, one answer that a pipeline can stop on."""
