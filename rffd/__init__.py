"""Real and Fake Face Detection: a reproducible fine-tuning pipeline for Vision Transformers."""

__version__ = "0.1.0"
