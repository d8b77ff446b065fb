"""Files of ``torch.save``, read as data without torch and without running code; other programs' files are named."""
