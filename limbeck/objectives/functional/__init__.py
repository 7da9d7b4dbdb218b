"""Stateless functions that objectives are made of."""
