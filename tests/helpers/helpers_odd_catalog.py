"""A catalog of odd media: a name for each, who makes it, what may become of it."""

from __future__ import annotations

import helpers_odd_media as odd
from helpers_media import render, tone
from PIL import Image

OK, BAD, ANY = {"ok"}, {"rejected"}, {"ok", "rejected"}

# Name -> who makes it, what may become of it.
FILES: dict[str, tuple[odd.Maker, set[str]]] = {
    "one-pixel.mkv": (odd.of("ffv1", "bgr0", (1, 1)), OK),
    "8k.mp4": (odd.of("libx264", "yuv420p", (7680, 4320), 2, 25), OK),
    "odd-size.mp4": (odd.of("libx264", "yuv444p", (63, 47)), OK),
    "16x4096.mp4": (odd.of("libx264", "yuv420p", (16, 4096)), OK),
    "one-frame.mp4": (lambda path: render(path, pts=(0,)), OK),
    "0.04s.mp4": (lambda path: render(path, pts=(0,), sound=tone(0.04)), OK),
    "two-frames-at-1000fps.mp4": (odd.of("libx264", "yuv420p", (64, 48), 2, 1000), OK),
    "frame-in-three-seconds.mkv": (lambda path: render(path, pts=(0, 75, 150), sound=tone(8.0)), OK),
    "no-video.mp4": (odd.audio_only, BAD),
    "sound-as-video.mkv": (odd.audio_only, BAD),
    "rotated.mp4": (lambda path: render(path, rotation=90, sound=tone(2.0)), OK),
    "variable-rate.mkv": (lambda path: render(path, pts=(0, 1, 2, 9, 10, 30, 31, 49), sound=tone(2.0)), OK),
    "negative-stamps.mkv": (lambda path: render(path, offset_s=-1.0, sound=tone(2.0)), OK),
    "starts-at-an-hour.ts": (lambda path: render(path, offset_s=3600.0, sound=tone(2.0)), OK),
    "sound-before-picture.mkv": (lambda path: render(path, sound=tone(2.0), sound_at_s=-0.9), OK),
    "sound-after-picture.mkv": (lambda path: render(path, sound=tone(1.0), sound_at_s=1.0), OK),
    "sound-a-minute-longer.mkv": (lambda path: render(path, sound=tone(62.0)), ANY),
    "sound-of-a-twentieth.mp4": (lambda path: render(path, sound=tone(0.05)), OK),
    "ten-bit.mp4": (odd.of("libx264", "yuv420p10le", (64, 48)), OK),
    "sixteen-bit.mkv": (odd.of("ffv1", "yuv444p16le", (64, 48)), OK),
    "alpha.mov": (odd.of("qtrle", "argb", (64, 48)), OK),
    "alpha.webm": (odd.of("libvpx-vp9", "yuva420p", (64, 48)), OK),
    "grey.mkv": (odd.of("ffv1", "gray16le", (64, 48)), OK),
    "prores.mov": (odd.of("prores_ks", "yuv422p10le", (64, 48)), OK),
    "hevc-main10.mp4": (odd.of("libx265", "yuv420p10le", (64, 64)), OK),
    "palette.avi": (odd.of("msvideo1", "rgb555le", (64, 48)), OK),
    "interlaced.mpg": (odd.interlaced, OK),
    "declares-65535.mp4": (odd.huge_declared, ANY),
    "nan-sound.mkv": (odd.bad_sound(float("nan")), OK),
    "infinite-sound.mkv": (odd.bad_sound(float("inf")), OK),
    "sound-of-1e30.mkv": (odd.bad_sound(1e30), OK),
    "192kHz.mkv": (odd.sound_of(192_000, 2, 2.0), OK),
    "six-channels-at-8kHz.mkv": (odd.sound_of(8_000, 6, 2.0), OK),
    "attached-mp4.mkv": (odd.with_attachment, OK),
    "two-video-streams.mkv": (odd.two_videos, ANY),
    "video-behind-a-picture.mp4": (odd.appended, BAD),
    "video-behind-a-picture.png": (odd.appended, OK),
    "zip.mp4": (odd.zipped, BAD),
    "html.mp4": (odd.text("<html><body>403 Forbidden</body></html>"), BAD),
    "svg.png": (odd.text("<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"), BAD),
    "postscript.jpg": (odd.text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file\n"), BAD),
    "sdp.mp4": (odd.text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\nc=IN IP4 127.0.0.1\n"), BAD),
    "concat.mp4": (odd.text("ffconcat version 1.0\nfile 'good.mp4'\n"), BAD),
    "picture.mp4": (lambda path: odd.picture("RGB", "PNG")(path), ANY),
    "video.png": (lambda path: path.write_bytes(odd.whole(".mp4", path.parent.parent)), BAD),
    "matroska.mp4": (lambda path: path.write_bytes(odd.whole(".mkv", path.parent.parent)), OK),
    "jpeg.png": (odd.picture("RGB", "JPEG"), OK),
    "bomb.png": (odd.png_bomb, BAD),
    "declares-65500.jpg": (odd.declared(odd.jpeg_size, "JPEG"), BAD),
    "declares-2e31.bmp": (odd.declared(odd.bmp_size, "BMP"), BAD),
    "declares-65535.gif": (odd.declared(odd.gif_size, "GIF"), ANY),
    "text-bomb.png": (odd.text_bomb, ANY),
    "1x60000.png": (odd.thread, ANY),
    "one-pixel.png": (lambda path: Image.new("RGB", (1, 1)).save(path), OK),
    "cmyk.jpg": (odd.picture("CMYK", "JPEG"), OK),
    "one-bit.png": (odd.picture("1", "PNG"), OK),
    "palette.png": (odd.picture("P", "PNG"), OK),
    "grey-alpha.png": (odd.picture("LA", "PNG"), OK),
    "sixteen-bit.png": (odd.picture("I;16", "PNG"), OK),
    "turned.jpg": (odd.turned, OK),
    "animated.png": (odd.many_pictures("PNG", 300), OK),
    "animated.webp": (odd.many_pictures("WEBP", 50), OK),
    "no-delay.gif": (odd.many_pictures("GIF", 20, duration=0), OK),
    "one-picture.gif": (odd.many_pictures("GIF", 1), OK),
}
FILES |= {
    f"cut-at-{eighths}-eighths{suffix}": (odd.cut(suffix, eighths), ANY)
    for suffix in (".mp4", ".mkv", ".ts")
    for eighths in range(1, 8)
}
SUFFIXES = ("mp4", "mov", "mkv", "webm", "avi", "m4v", "mpg", "mpeg", "gif", "png", "jpg", "jpeg", "webp", "bmp")
FILES |= {f"noise.{suffix}": (odd.noise, ANY if suffix in ("mpg", "mpeg") else BAD) for suffix in SUFFIXES}
