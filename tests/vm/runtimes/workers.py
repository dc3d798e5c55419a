"""Starts the process pool that CPython would, writes its size to the file named by the argument, and stays."""
import concurrent.futures
import multiprocessing
import sys
import time

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    pool = concurrent.futures.ProcessPoolExecutor()
    for future in [pool.submit(time.sleep, 0.001) for _ in range(64)]:
        future.result()
    with open(sys.argv[1], "w") as file:
        print(len(multiprocessing.active_children()), file=file)
    time.sleep(1000000)
