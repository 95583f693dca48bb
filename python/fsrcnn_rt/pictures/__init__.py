"""Picture files: read, made larger and written, with what travels beside the pixels."""
