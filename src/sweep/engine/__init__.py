"""Engines: a trial's plan in, its outcome out. The only package that imports
`transformers.Trainer`."""
