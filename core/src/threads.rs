//! How many threads can really run: the cgroup quota, the affinity mask, fast cores and SMT siblings.
//!
//! [`read_facts`] looks at the system, [`choose`] decides and explains; the decision is a pure function of the facts.

mod cgroup;
mod facts;
mod list;

pub use cgroup::Quota;
pub use facts::{Cpu, CpuFacts, read_facts};

use std::collections::BTreeSet;

/// A core counts as fast from this share of the best core's capacity: mid cores of three-tier phones pass
/// (0.7 and more), little cores do not (0.5 and less).
const FAST_CAPACITY: f64 = 0.6;
/// The same for clock rates, which differ less between core types than what the cores get done.
const FAST_FREQUENCY: f64 = 0.8;
/// A thread is worth starting when the quota pays for at least 0.9 of it.
const QUOTA_SLACK: f64 = 0.1;

/// How many threads to start, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadChoice {
    /// Threads to start when nobody asks for a number.
    pub threads: usize,
    /// The most that can run at a time: what an explicit number is clamped to.
    pub limit: usize,
    /// CPUs that the affinity mask allows.
    pub allowed: usize,
    /// Physical fast cores among the allowed CPUs.
    pub fast_cores: usize,
    /// CPUs that the cgroup quota pays for, if there is one.
    pub quota: Option<f64>,
    /// One sentence per fact that decided, for people.
    pub reasons: Vec<String>,
}

impl ThreadChoice {
    /// The number of threads for a request: the choice when there is none, otherwise at most what can run.
    pub fn resolve(&self, requested: Option<usize>) -> usize {
        match requested {
            None | Some(0) => self.threads,
            Some(threads) => threads.min(self.limit),
        }
    }
}

/// Decides how many threads to start: one per fast physical core that the process may use, never more than
/// the quota pays for. More threads than that wait for each other at every matrix product.
pub fn choose(facts: &CpuFacts) -> ThreadChoice {
    let mut reasons = Vec::new();
    if facts.cpus.is_empty() {
        let threads = facts.parallelism.max(1);
        reasons.push(format!("The operating system reports {}.", count(threads, "usable CPU")));
        return ThreadChoice { threads, limit: threads, allowed: threads, fast_cores: threads, quota: None, reasons };
    }

    let online = facts.cpus.len();
    let mut allowed: Vec<&Cpu> = facts.cpus.iter().filter(|cpu| cpu.is_allowed).collect();
    if allowed.is_empty() {
        allowed = facts.cpus.iter().collect(); // a mask that names no online CPU cannot be the one we run under
    }
    reasons.push(if allowed.len() < online {
        let list = list::format(allowed.iter().map(|cpu| cpu.index));
        format!("The affinity mask allows {} of {online} CPUs ({list}).", allowed.len())
    } else {
        format!("{} online, and the affinity mask allows all.", count(online, "CPU"))
    });

    let fast = fast_cpus(&allowed, &mut reasons);
    let cores: BTreeSet<usize> = fast.iter().map(|cpu| cpu.core).collect();
    if cores.len() < fast.len() {
        reasons.push(format!(
            "The {} share {}: one thread per core, because siblings share its arithmetic units.",
            count(fast.len(), "hardware thread"),
            count(cores.len(), "physical core")
        ));
    }

    let (mut threads, mut limit) = (cores.len().max(1), allowed.len());
    let quota = facts.quota.as_ref().map(|quota| quota.cpus);
    if let Some(quota) = &facts.quota {
        let paid = ((quota.cpus + QUOTA_SLACK) as usize).max(1);
        reasons.push(if paid < threads {
            format!(
                "The cgroup quota {} pays for {:.2} CPUs: {}, because more would be stopped for a part of every period.",
                quota.source,
                quota.cpus,
                count(paid, "thread")
            )
        } else {
            format!("The cgroup quota {} pays for {:.2} CPUs, which is enough.", quota.source, quota.cpus)
        });
        (threads, limit) = (threads.min(paid), limit.min(paid));
    }
    ThreadChoice { threads, limit, allowed: allowed.len(), fast_cores: cores.len(), quota, reasons }
}

/// The allowed CPUs that are worth waiting for: performance cores, or those near the best capacity or clock.
fn fast_cpus<'a>(allowed: &[&'a Cpu], reasons: &mut Vec<String>) -> Vec<&'a Cpu> {
    let by_share = |value: fn(&Cpu) -> Option<u64>, share: f64| -> Option<Vec<&'a Cpu>> {
        let values: Option<Vec<u64>> = allowed.iter().map(|cpu| value(cpu)).collect();
        let best = values?.into_iter().max().filter(|&best| best > 0)?;
        Some(allowed.iter().copied().filter(|cpu| value(cpu).unwrap_or(0) as f64 >= share * best as f64).collect())
    };
    let performance: Vec<&Cpu> = allowed.iter().copied().filter(|cpu| cpu.is_performance == Some(true)).collect();
    let (fast, what) = if !performance.is_empty() {
        (performance, "performance cores")
    } else if let Some(fast) = by_share(|cpu| cpu.capacity, FAST_CAPACITY) {
        (fast, "the big cores, by their capacity")
    } else if let Some(fast) = by_share(|cpu| cpu.max_frequency_khz, FAST_FREQUENCY) {
        (fast, "the fast cores, by their clock")
    } else {
        (allowed.to_vec(), "")
    };
    if fast.len() < allowed.len() {
        let list = list::format(fast.iter().map(|cpu| cpu.index));
        reasons.push(format!("CPUs {list} are {what}; the others are slower and would hold them up."));
    }
    fast
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
