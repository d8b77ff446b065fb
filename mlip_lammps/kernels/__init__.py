"""The hot operations of a MACE layer, each in plain torch.

Layouts: node features are (n_atoms, n_components, n_channels) with the channel innermost; components run over the
irreps in order and over m within one irrep. Edges are sorted by centre.
"""
