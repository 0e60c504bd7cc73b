"""Convolution and the candidate operations of the search spaces."""
