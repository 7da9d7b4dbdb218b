"""Network architectures for students and teachers."""
