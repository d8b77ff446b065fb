"""What the CHGNet families have in common: bonds, their angles, their exchange between ranks, and gated networks."""
