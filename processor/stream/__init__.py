"""Faust and Kafka: takes batches of input, applies them, commits everything in one transaction per cycle."""
