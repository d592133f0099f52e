"""Examines videos in any condition, and reads exactly the requested frames."""

from data_pipelines.video.container import SUFFIXES
from data_pipelines.video.probes import probe
from data_pipelines.video.read import VideoError, read_frames

__all__ = ['SUFFIXES', 'VideoError', 'probe', 'read_frames']
