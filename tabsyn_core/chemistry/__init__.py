"""Molecules: standardisation, RDKit descriptors and the rules they obey."""
