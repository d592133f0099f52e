"""Analyses why a recogniser fails: factors, distances, corruptions."""
