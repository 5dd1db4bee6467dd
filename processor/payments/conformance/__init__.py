"""Judges any payment worker from outside: what it is asked, and what its answers must be."""
