"""Draws a film like a meeting-room camera's: a still background, a person-sized foreground that moves, sensor noise.

    python benches/camera_clip.py OUT.mp4 [SECONDS]

Seeded, so every run draws the same. 1280x720 at 30 pictures a second, nearly lossless (its noise must survive), with
the sound of espeak-ng when it is there, else a tone.
"""

import subprocess
import sys

import numpy

WIDTH, HEIGHT, FPS = 1280, 720, 30
NOISE = 2.0  # standard deviation in steps of 255: a webcam by day


def background(random):
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.float32)
    wall = 120 + 40 * numpy.sin(x / 190) * numpy.cos(y / 140) + 25 * (y / HEIGHT)
    for _ in range(60):  # shelves, frames, a table: edges of all sizes
        left, top = random.integers(0, WIDTH - 60), random.integers(0, HEIGHT - 40)
        right, bottom = left + random.integers(20, 260), top + random.integers(10, 160)
        wall[top:bottom, left:right] += random.integers(-45, 45)
    return wall


def foreground(random):
    y, x = numpy.mgrid[0:420, 0:300].astype(numpy.float32)
    head = ((x - 150) / 80) ** 2 + ((y - 110) / 105) ** 2 < 1
    body = ((x - 150) / 145) ** 2 + ((y - 420) / 210) ** 2 < 1
    texture = 90 + 30 * numpy.sin(x / 7) * numpy.sin(y / 9) + random.normal(0, 6, x.shape)
    return numpy.where(head, texture + 60, texture), head | body


def main(out, seconds):
    random = numpy.random.default_rng(20261121)
    still, (figure, shape) = background(random), foreground(random)
    chroma = numpy.full((HEIGHT // 2, WIDTH // 2), 128, numpy.uint8)
    chroma[200:, 300:] = 118
    noise = [random.normal(0, NOISE, (HEIGHT, WIDTH)).astype(numpy.float32) for _ in range(16)]
    command = (
        f"ffmpeg -v error -y -f rawvideo -pix_fmt yuv420p -s {WIDTH}x{HEIGHT} -r {FPS} -i - "
        f"-f lavfi -t {seconds} -i sine=frequency=220:sample_rate=48000 "
        f"-c:v libx264 -preset ultrafast -crf 8 -pix_fmt yuv420p -c:a aac -shortest"
    ).split()
    with subprocess.Popen([*command, out], stdin=subprocess.PIPE) as ffmpeg:
        for n in range(seconds * FPS):
            t = n / FPS
            left = int(490 + 160 * numpy.sin(t * 0.7) + 14 * numpy.sin(t * 5))
            top = int(270 + 18 * numpy.sin(t * 1.9))
            picture = still.copy()
            picture[top : top + 420, left : left + 300][shape] = figure[shape]
            picture += noise[random.integers(0, len(noise))]
            ffmpeg.stdin.write(numpy.clip(picture, 16, 235).astype(numpy.uint8).tobytes())
            ffmpeg.stdin.write(chroma.tobytes() * 2)
        ffmpeg.stdin.close()
    return ffmpeg.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20))
