"""Minimal pairs that differ in one relevance signal, aligned token by token."""
