"""Parts that networks of atom-centred functions share: networks by element."""
