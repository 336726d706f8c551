"""What the training programs share: stopping, checkpoints that survive kill -9, logs."""
import ctypes
import datetime
import os
import signal
import time
import numpy as np
import torch


def keep_memory():
    """Has glibc keep what was freed: else each large tensor is mapped and zeroed anew, which costs
    a fifth of the time."""
    try:
        libc = ctypes.CDLL('libc.so.6')
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2 ** 31 - 1)
        libc.mallopt(top_pad, 64 << 20)
    except OSError:
        pass  # another C library


def add_options(p):
    p.add_argument('--out', required=True, metavar='DIR', help='checkpoints and logs; a run '
                   'that is there already is continued')
    p.add_argument('--until', metavar='HH:MM', help='stop at this time of day, with a checkpoint')
    p.add_argument('--minutes', type=float, help='stop after so long, with a checkpoint')
    p.add_argument('--save-every', type=float, default=60, metavar='SECONDS')
    p.add_argument('--threads', type=int, default=1)


class Run:
    """One training run in a folder. Its checkpoint is replaced by a rename, so there is always a
    whole one; SIGTERM and SIGINT save and end it."""

    def __init__(self, options, name):
        os.makedirs(options.out, exist_ok=True)
        self.path = os.path.join(options.out, name + '.pt')
        self.log_file = open(os.path.join(options.out, name + '.log'), 'a', buffering=1)
        self.begin = time.time()
        self.save_every, self.last_save = options.save_every, self.begin
        self.stop_at = self.begin + 60 * options.minutes if options.minutes else None
        if options.until:
            hour, minute = map(int, options.until.split(':'))
            now = datetime.datetime.now()
            end = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            if end <= now:
                end += datetime.timedelta(days=1)
            self.stop_at = min(self.stop_at or end.timestamp(), end.timestamp())
        self.signalled = False
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, self._on_signal)
        torch.set_num_threads(options.threads)
        keep_memory()

    def _on_signal(self, *_):
        self.signalled = True

    def load(self):
        return torch.load(self.path, map_location='cpu') if os.path.exists(self.path) else None

    def save(self, state):
        save(self.path, state)
        self.last_save = time.time()

    def due(self):
        return time.time() - self.last_save > self.save_every

    def ending(self):
        return self.signalled or (self.stop_at is not None and time.time() >= self.stop_at)

    def log(self, text):
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        self.log_file.write(line + '\n')


def save(path, state):
    torch.save(state, path + '.new')
    os.replace(path + '.new', path)


def save_npz(path, **arrays):
    np.savez(path + '.new.npz', **arrays)
    os.replace(path + '.new.npz', path)
