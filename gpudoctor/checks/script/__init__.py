"""Rules for a training script: it is parsed and never run."""
