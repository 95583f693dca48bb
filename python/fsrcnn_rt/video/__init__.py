"""Video: Y4M streams, and files by PyAV, which importing this does not."""
