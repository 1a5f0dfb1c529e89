"""Quantization in training: schemes, sites, observers, protection masks, and the builder of integer programs.

May be imported by models, datamodules, callbacks and app; imports the program format, but neither PyG nor Lightning.
"""
