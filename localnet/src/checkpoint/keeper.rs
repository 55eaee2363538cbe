//! Keeps the state directory of a living network up to date.

use std::{
    io,
    path::PathBuf,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Capture, StateError, Store, store::Written};

/// Writes what a network is to its state directory, on a thread of its own.
///
/// Dropping it waits until what was begun is written; the folder is free then.
#[derive(Debug)]
pub(crate) struct Keeper {
    interval: Option<Duration>,
    due: Instant,
    captures: Option<mpsc::Sender<Order>>,
    results: mpsc::Receiver<Result<Written, StateError>>,
    /// Captures that were not written yet: at most one.
    under_way: usize,
    thread: Option<JoinHandle<()>>,
    /// The folder.
    path: PathBuf,
}

/// What the thread is to write, and whether it must even if only time has passed.
struct Order {
    capture: Capture,
    always: bool,
}

impl Keeper {
    /// Starts the thread. With an interval a capture is written so often; otherwise only at the end.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(mut store: Store, interval: Option<Duration>) -> io::Result<Self> {
        let path = store.path().to_owned();
        let (captures, orders) = mpsc::channel::<Order>();
        let (answers, results) = mpsc::channel();
        let thread = thread::Builder::new().name("localnet-keeper".to_owned()).spawn(move || {
            for Order { capture, always } in orders {
                // Nobody may wait for the answer any more.
                let _ = answers.send(store.write(&capture, always));
            }
        })?;
        let due = Instant::now() + interval.unwrap_or_default();
        Ok(Self { interval, due, captures: Some(captures), results, under_way: 0, thread: Some(thread), path })
    }

    /// Has a capture written if that is due and the last one is done. `take` makes the capture; nothing else takes time.
    pub(crate) fn keep_up(&mut self, take: impl FnOnce() -> Capture) {
        let Some(interval) = self.interval else { return };
        while let Ok(result) = self.results.try_recv() {
            self.under_way -= 1;
            if let Err(error) = result {
                eprintln!("localnet: the state could not be saved: {error}");
            }
        }
        if self.under_way == 0 && Instant::now() >= self.due {
            self.order(take(), false);
            self.due = Instant::now() + interval;
        }
    }

    /// Has the last capture written, and waits for it.
    ///
    /// # Errors
    /// When it could not be written; the folder then holds an earlier one.
    pub(crate) fn finish(mut self, capture: Capture) -> Result<Written, StateError> {
        self.order(capture, true);
        let mut last = Ok(Written::default());
        while self.under_way > 0 {
            self.under_way -= 1;
            last = self.results.recv().unwrap_or_else(|_| {
                let source = io::Error::other("the thread that writes it is gone");
                Err(StateError::Io { path: self.path.clone(), source })
            });
        }
        last
    }

    fn order(&mut self, capture: Capture, always: bool) {
        if let Some(captures) = &self.captures {
            // The thread lives as long as it may get orders.
            let _ = captures.send(Order { capture, always });
            self.under_way += 1;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.captures = None;
        if let Some(thread) = self.thread.take() {
            // A panic was printed already.
            let _ = thread.join();
        }
    }
}
