//! As many threads as Tokio would have workers, each with one request after the other. Prints each one's microseconds.
//! Arguments: seconds, rounds of a request, rule (untuned: every processor; own: what the standard library says) where TOKIO_WORKER_THREADS does not say it.
use std::time::{Duration, Instant};
use std::{env, fs, hint, thread};

fn online() -> usize {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").expect("no list of processors");
    text.trim()
        .split(',')
        .map(|range| {
            let mut ends = range.split('-').map(|n| n.parse::<usize>().expect("no number"));
            let first = ends.next().expect("empty");
            ends.next().unwrap_or(first) - first + 1
        })
        .sum()
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let seconds: f64 = args[1].parse().expect("seconds");
    let rounds: u64 = args[2].parse().expect("rounds");
    let n = match env::var("TOKIO_WORKER_THREADS") {
        Ok(text) => text.parse().expect("TOKIO_WORKER_THREADS is no number"),
        Err(_) if args[3] == "untuned" => online(),
        Err(_) => thread::available_parallelism().expect("no number").get(),
    };
    let begin = Instant::now() + Duration::from_millis(200);
    let end = begin + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..n)
        .map(|_| {
            thread::spawn(move || {
                let (mut taken, mut now) = (Vec::new(), Instant::now());
                while now < end {
                    let before = now;
                    let mut x = 88172645463325252u64;
                    for _ in 0..rounds {
                        x ^= x << 13;
                        x ^= x >> 7;
                        x ^= x << 17;
                    }
                    hint::black_box(x);
                    now = Instant::now();
                    if before >= begin && now < end {
                        taken.push((now - before).as_micros());
                    }
                }
                taken
            })
        })
        .collect();
    eprintln!("{n}");
    for thread in threads {
        for us in thread.join().expect("a thread failed") {
            println!("{us}");
        }
    }
}
