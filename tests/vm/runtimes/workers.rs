//! Starts as many threads "worker" as Tokio would (its variable, else what the standard library says), writes the number to the file named by its
//! argument, and stays.
use std::{env, fs, thread};

fn main() {
    let n = match env::var("TOKIO_WORKER_THREADS") {
        Ok(text) => text.parse().expect("TOKIO_WORKER_THREADS is no number"),
        Err(_) => thread::available_parallelism().expect("no number").get(),
    };
    let threads: Vec<_> = (0..n)
        .map(|_| thread::Builder::new().name("worker".into()).spawn(|| loop { thread::park() }).expect("no thread"))
        .collect();
    let file = env::args().nth(1).expect("no file named");
    fs::write(file, format!("{}\n", threads.len())).expect("cannot write");
    loop {
        thread::park()
    }
}
