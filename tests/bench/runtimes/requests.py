"""As many processes as CPython services start, each with one request after the other. Prints each one's microseconds.

Arguments: seconds, rounds of a request, rule (untuned: every processor; own: those that it may run on) where WEB_CONCURRENCY does not say it."""
import multiprocessing
import os
import sys
import time


def serve(begin, end, rounds, pipe):
    lines = []
    now = time.monotonic()
    while now < end:
        before, x = now, 1
        for _ in range(rounds):
            x = (x * 48271) % 2147483647
        now = time.monotonic()
        if before >= begin and now < end:
            lines.append(int((now - before) * 1e6))
    pipe.send(lines)


if __name__ == "__main__":
    rule = os.cpu_count() if sys.argv[3] == "untuned" else len(os.sched_getaffinity(0))
    n = int(os.environ.get("WEB_CONCURRENCY", rule))
    begin = time.monotonic() + 0.5
    pipes = []
    for _ in range(n):
        ours, theirs = multiprocessing.Pipe(False)
        pipes.append(ours)
        multiprocessing.Process(target=serve, args=(begin, begin + float(sys.argv[1]), int(sys.argv[2]), theirs)).start()
    print(n, file=sys.stderr)
    for pipe in pipes:
        print("\n".join(map(str, pipe.recv())))
