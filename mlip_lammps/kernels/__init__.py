"""The performance-critical operations of a MACE layer, with one backend per folder.

Layouts: node features have shape (n_atoms, n_components, n_channels), with the channel as innermost index. Components
run over the irreps in order and over m within one irrep. Edges are sorted by centre.
"""
