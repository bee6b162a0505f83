//! Fork and join: persistent workers that run one closure together, and slices that they share piece by piece.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread that waits keeps its CPU before it parks: longer than the gap between two matrix products
/// of one layer, shorter than anybody notices.
const SPIN: Duration = Duration::from_micros(50);

/// In [`Shared::gate`], the workers that have entered the current job are counted below this bit, which says that no more
/// may enter; the number of the job is above it.
const CLOSED: usize = 1 << 15;
const ENTERED: usize = CLOSED - 1;
const ONE_JOB: usize = CLOSED << 1;
/// The gate of a pool that ends: no job has so many workers.
const STOPPED: usize = usize::MAX;

/// A closure that all threads of the pool are running, with its lifetime erased.
///
/// `Pool::run` closes the gate and waits for all who entered before it returns, so nobody calls it after it is gone.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync));

struct Shared {
    /// The number of the current job, whether it is closed, and how many workers have entered it.
    gate: AtomicUsize,
    /// Workers that have left the current job.
    left: AtomicUsize,
    /// The current job and the thread that waits for it. Written by the caller while the gate is closed and all who entered
    /// have left, read by workers that have entered.
    job: UnsafeCell<Option<(Job, Thread)>>,
    /// The first panic of a worker in the current job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    spin: Duration,
}

// SAFETY: `job` is the only part that is not Sync; the protocol in its comment keeps writes and reads apart, with
// Release/Acquire pairs on `gate` (caller to worker) and `left` (worker to caller).
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only dereferenced while the closure is borrowed by `Pool::run`, and it is Sync.
unsafe impl Send for Shared {}

impl Shared {
    /// Counts a worker in, unless the current job is closed. The gate as it was.
    fn enter(&self) -> Result<usize, usize> {
        let counted = |gate| (gate & CLOSED == 0).then_some(gate + 1);
        self.gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted)
    }

    /// Counts a worker out. Whether all who have entered so far have left.
    fn leave(&self) -> bool {
        let left = self.left.fetch_add(1, Ordering::Release) + 1;
        left >= self.gate.load(Ordering::Relaxed) & ENTERED
    }
}

/// Threads that wait for work and run it together with the caller.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// The process that has the workers: a forked child gets this value, but not the threads.
    process: u32,
    /// Held while a job runs; a second caller, or a job that forks again, runs its parts itself.
    busy: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads in all, the caller's included. Threads that cannot be started are done without.
    ///
    /// With more threads than the machine can run at once nobody spins: it would only keep others from working.
    pub fn new(threads: usize) -> Self {
        let can_run = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            gate: AtomicUsize::new(CLOSED),
            left: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            spin: if threads > can_run { Duration::ZERO } else { SPIN },
        });
        let mut workers = Vec::new();
        for index in 1..threads.min(ENTERED) {
            let shared = Arc::clone(&shared);
            let name = format!("edgewise-{index}");
            match thread::Builder::new().name(name).spawn(move || work(&shared)) {
                Ok(worker) => workers.push(worker),
                Err(_) => break,
            }
        }
        Self { shared, workers, process: std::process::id(), busy: Mutex::new(()) }
    }

    /// How many threads run a job.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(0)`, `f(1)`, ... `f(threads - 1)` on as many threads as are there in time, and returns when all have ended.
    ///
    /// Nobody waits for a worker that has not begun: where other programs keep the CPUs busy, the system may let it run
    /// milliseconds later. This thread makes its call then, as it makes all of them in a forked child, which has no workers.
    /// The calls must not wait for each other. A panic in one of them is passed on to the caller after all ended.
    pub fn run(&self, f: &(dyn Fn(usize) + Sync)) {
        let guard = match self.busy.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        };
        if self.workers.is_empty() || guard.is_none() || self.process != std::process::id() {
            for index in 0..self.threads() {
                f(index);
            }
            return;
        }
        let shared = &*self.shared;
        #[allow(clippy::transmute_ptr_to_ptr)] // a cast cannot lengthen the lifetime of a trait object
        // SAFETY: only the lifetime changes; whoever entered has left before this function returns or unwinds.
        let job = Job(unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(f)
        });
        // SAFETY: `busy` is held, the gate is closed and all who entered have left, so no worker reads the cell now.
        unsafe { *shared.job.get() = Some((job, thread::current())) };
        shared.left.store(0, Ordering::Relaxed);
        let closed = shared.gate.load(Ordering::Relaxed);
        shared.gate.store((closed & !(CLOSED | ENTERED)).wrapping_add(ONE_JOB), Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        let mut own = catch_unwind(AssertUnwindSafe(|| f(0)));
        let entered = shared.gate.fetch_or(CLOSED, Ordering::AcqRel) & ENTERED;
        for index in entered + 1..self.threads() {
            let next = catch_unwind(AssertUnwindSafe(|| f(index)));
            own = own.and(next);
        }
        wait(shared.spin, || shared.left.load(Ordering::Acquire) == entered);
        let theirs = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(guard);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        if let Some(panic) = theirs {
            resume_unwind(panic);
        }
    }

    /// Calls `f(i)` for every `i` below `count`, each once, on whichever thread is free.
    pub fn each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let job = |_| {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    break;
                }
                f(i);
            }
        };
        if count > 1 {
            self.run(&job);
        } else {
            job(0);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // There is nobody to join here.
            self.workers.drain(..).for_each(std::mem::forget);
            return;
        }
        self.shared.gate.store(STOPPED, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its jobs, so there is nothing to learn from joining it.
            let _ = worker.join();
        }
    }
}

/// Keeps the CPU for `spin`, then parks, until `done` holds. Whoever makes it hold unparks this thread.
fn wait(spin: Duration, done: impl Fn() -> bool) {
    if !spin.is_zero() {
        let start = Instant::now();
        loop {
            for _ in 0..32 {
                if done() {
                    return;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > spin {
                break;
            }
        }
    }
    while !done() {
        thread::park();
    }
}

/// The life of a worker: wait for a job, run it unless it is closed, report.
fn work(shared: &Shared) {
    let mut seen = 0;
    loop {
        wait(shared.spin, || {
            let gate = shared.gate.load(Ordering::Acquire);
            gate / ONE_JOB != seen || gate == STOPPED
        });
        let entered = shared.enter();
        let (Ok(gate) | Err(gate)) = entered;
        seen = gate / ONE_JOB;
        match entered {
            Ok(_) => {}
            Err(STOPPED) => return,
            Err(_) => continue,
        }
        // SAFETY: the caller wrote the cell before it opened the gate, and waits for this thread to leave before it does again.
        let cell = unsafe { (*shared.job.get()).clone() };
        let Some((job, caller)) = cell else { unreachable!("an open gate has a job") };
        let index = (gate & ENTERED) + 1;
        // SAFETY: the closure lives until this thread has left.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*job.0)(index) }));
        if let Err(panic) = result {
            shared.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        if shared.leave() {
            caller.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_once_per_job() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..200 {
                pool.run(&|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 200));
        }
    }

    #[test]
    fn each_item_runs_once() {
        let pool = Pool::new(3);
        for count in [0, 1, 2, 100] {
            let counts: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            pool.each(count, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_pool_ends_also_while_its_workers_still_look_for_the_last_job() {
        // More threads than CPUs, so that some come late.
        for _ in 0..2000 {
            Pool::new(8).run(&|_| {});
        }
    }

    #[test]
    fn workers_wake_after_they_parked() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            let count = AtomicUsize::new(0);
            pool.run(&|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 2);
            thread::sleep(SPIN * 20);
        }
    }

    #[test]
    fn a_panic_in_a_job_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for bad in 0..3 {
            let ended = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|i| {
                    assert!(i != bad, "thread {i} fails");
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }));
            let message = *result.unwrap_err().downcast::<String>().unwrap();
            assert_eq!(message, format!("thread {bad} fails"));
            assert_eq!(ended.into_inner(), 2);
        }
        pool.run(&|_| {});
    }

    #[test]
    fn a_job_that_forks_again_runs_the_parts_itself() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        pool.run(&|_| {
            pool.run(&|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(count.into_inner(), 4);
    }

    #[test]
    fn two_callers_may_share_a_pool() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.run(&|_| {
                            count.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 400);
    }
}
