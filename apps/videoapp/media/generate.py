#!/usr/bin/env python3
"""Generate the library of videoapp: HLS streams with a running clock, and their posters.

The streams follow RFC 8216 (HTTP Live Streaming) with fragmented MP4 segments, which the page
plays without transmuxing. Every video shows its own time, so a jump of the position is visible.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

CATALOG = Path(__file__).with_name("videos.json")
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf"
FRAME_RATE = 15
SEGMENT_S = 2
# ffmpeg puts a sign or a blank before the 12 characters of a time: centre what is seen.
CLOCK = (
    rf"drawtext=fontfile={FONT}:text='%{{pts\:hms}}':fontsize=64:fontcolor=white"
    ":borderw=5:bordercolor=black@0.55:x=(w-tw-tw/13)/2:y=(h-th)/2"
)


class Video(TypedDict):
    """One entry of the catalog; `source` is an ffmpeg filter graph that makes the pictures."""

    id: str
    title: str
    description: str
    duration_s: int
    source: str


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg quietly; raises CalledProcessError when it fails."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def generate(video: Video, folder: Path, limit_s: int | None) -> None:
    """Write `stream.m3u8`, its segments and `poster.jpg` of one video into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    duration_s = min(video["duration_s"], limit_s or video["duration_s"])
    picture = f"{video['source']},{CLOCK},format=yuv420p"
    hls = ["-f", "hls", "-hls_time", str(SEGMENT_S), "-hls_playlist_type", "vod"]
    hls += ["-hls_segment_type", "fmp4", "-hls_segment_filename", str(folder / "%04d.m4s")]
    ffmpeg(
        *("-f", "lavfi", "-i", picture, "-t", str(duration_s)),
        *("-c:v", "libx264", "-preset", "superfast", "-crf", "27", "-sc_threshold", "0"),
        *("-g", str(FRAME_RATE * SEGMENT_S), "-keyint_min", str(FRAME_RATE * SEGMENT_S)),
        *hls,
        folder / "stream.m3u8",
    )
    still = f"{video['source']},format=yuvj420p"
    poster_at_s = min(8, duration_s / 2)
    ffmpeg(
        *("-f", "lavfi", "-i", still, "-ss", str(poster_at_s), "-frames:v", "1", "-q:v", "4"),
        folder / "poster.jpg",
    )


def main() -> None:
    """Generate every video of the catalog below the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where the videos are written")
    parser.add_argument("--limit-s", type=int, help="cut every video to this length (for tests)")
    options = parser.parse_args()
    videos: list[Video] = json.loads(CATALOG.read_text(encoding="utf-8"))

    def one(video: Video) -> str:
        generate(video, options.folder / video["id"], options.limit_s)
        return video["title"]

    # The sources draw on one core each, so several videos at a time use the machine better.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for number, title in enumerate(pool.map(one, videos), start=1):
            print(f"video {number} of {len(videos)}: {title}", flush=True)


if __name__ == "__main__":
    main()
