"""Parts that networks of atom-centred functions share: sums over neighbours by element, and networks by element."""
