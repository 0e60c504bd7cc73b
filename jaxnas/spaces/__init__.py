"""All that can be built: cells, denoisers, unrolled networks, genotypes."""
