"""Which frames of a video make a clip, and which part of each frame.

Plain functions of sizes and a generator: no video is read here. Every method
that samples differently adds a function of the same kind.
"""
