"""Search spaces (``supernet.spaces``, no torch), the elastic model, training and extraction."""
