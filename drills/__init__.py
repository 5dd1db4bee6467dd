"""Fault drills: each causes the condition of one alert on a running demo and mends it as the alert's runbook says.

`python -m drills` (or `make drills`) runs them. Everything is real: broker, worker, payment worker, platform and a
Prometheus with the rules of `deploy/prometheus/`, whose windows are shortened by a stated factor (`faster`).
"""
