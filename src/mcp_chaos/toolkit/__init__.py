"""What is known of Chaos Toolkit: how an experiment is written and what its journal says."""
