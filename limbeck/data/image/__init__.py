"""Images: decoding, geometry, colour, and mixing of two images."""
