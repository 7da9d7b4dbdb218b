"""Texts: tokenization, token storage, masking, question windows, and augmentation."""
