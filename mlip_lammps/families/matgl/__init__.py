"""What the folders of MatGL potentials have in common. This package does not import torch."""
