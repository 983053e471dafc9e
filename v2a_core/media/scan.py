"""What the packets of a video tell without being decoded: times, key frames, and whether the file is one film."""

from __future__ import annotations

import contextlib

import av
import numpy as np
from av.stream import Stream
from av.video.stream import VideoStream

# Containers without an index: files glued together, and programmes side by side, are such a file again.
JOINED = frozenset({"mpegts", "mpeg"})
# A clock that goes back by more is that of another film; packets are in the order of decoding.
_CLOCK_BACK_S = 0.5


class PacketScan:
    """Collects the times of packets, and decodes the first frame, which alone tells how it has to be turned."""

    def __init__(self, video: VideoStream) -> None:
        self.shown: list[tuple[float, float]] = []  # start and end of each frame, in the order of the packets
        self.keys: list[float] = []
        self.reach_s = 0.0  # end of the last packet of any stream that was read
        self.rotation_deg: int | None = None
        self.left_out = 0  # frames of another film: behind a clock that begins anew, or of another programme
        self.strange = 0  # packets of streams that began in mid-file
        self._count = 0  # of packets, without those
        self._clock_s = -np.inf
        self._is_over = False
        self._video = video
        self._ticks: dict[int, tuple[int, int]] = {}  # length of a tick of each stream, a fraction of seconds

    def add_strange(self) -> None:
        """Take note of a packet of a stream that nobody knows."""
        self.strange += 1

    def share_of_file(self) -> float:
        """How much of what is in the file is the one film that is read."""
        film = len(self.shown) / (len(self.shown) + self.left_out)
        return film * self._count / (self._count + self.strange)

    def entrances(self) -> list[float]:
        """Where decoding can start. With several films the times of one are those of another: only at the start."""
        return self.keys[:1] if self.left_out or self.strange else self.keys

    def add(self, packet: av.Packet[Stream], is_joined: bool = False) -> None:
        """Take note of a packet; of a container that may hold several films, only of the first."""
        self._count += 1
        is_video = packet.stream_index == self._video.index
        if is_joined and packet.stream.type == "video" and not self._is_of_film(packet, is_video):
            self.left_out += 1
            return
        if is_video and self.rotation_deg is None:
            self._look_at(packet)
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or packet.is_discard:
            return
        if packet.stream_index not in self._ticks:
            self._ticks[packet.stream_index] = packet.time_base.as_integer_ratio()
        ticks, per_s = self._ticks[packet.stream_index]
        # Whole numbers: as exact as with fractions, without their time for each packet.
        start_s = time * ticks / per_s
        end_s = start_s + (packet.duration or 0) * ticks / per_s
        self.reach_s = max(self.reach_s, end_s)
        if is_video:
            self.shown.append((start_s, end_s))
            if packet.is_keyframe:
                self.keys.append(start_s)

    def _is_of_film(self, packet: av.Packet[Stream], is_video: bool) -> bool:
        """Whether a frame belongs to the film that the file begins with."""
        if is_video and packet.dts is not None and not self._is_over:
            time_s = float(packet.dts * packet.time_base)
            self._is_over = time_s < self._clock_s - _CLOCK_BACK_S
            self._clock_s = time_s
        return is_video and not self._is_over

    def _look_at(self, packet: av.Packet[Stream]) -> None:
        with contextlib.suppress(av.FFmpegError):
            for frame in self._video.decode(packet):
                self.rotation_deg = int(frame.rotation)
                return
