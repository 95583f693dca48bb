"""Training of FSRCNN models: the extra ``train``, which needs PyTorch. Importing this package does not."""
