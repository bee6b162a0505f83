//! What the operating system says about the CPUs, read from `/proc` and `/sys` below a given root.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::cgroup::{self, Quota};
use super::list;

/// One logical CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Its number.
    pub index: usize,
    /// The affinity mask lets this process run on it.
    pub is_allowed: bool,
    /// Its physical core, named by the lowest sibling.
    pub core: usize,
    /// What it gets done relative to the others (1024 is the best), where the kernel knows.
    pub capacity: Option<u64>,
    /// Its highest clock rate, where the kernel knows.
    pub max_frequency_khz: Option<u64>,
    /// On hybrid Intel processors: a performance core or an efficiency core.
    pub is_performance: Option<bool>,
}

/// Everything that [`super::choose`] decides from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuFacts {
    /// The online CPUs; empty where the system does not list them (macOS, Windows).
    pub cpus: Vec<Cpu>,
    /// The smallest cgroup quota that applies.
    pub quota: Option<Quota>,
    /// What the standard library says, for systems without a list.
    pub parallelism: usize,
}

/// Reads the facts below `root`: `/` on a real system, a made-up tree in tests.
pub fn read_facts(root: &Path) -> CpuFacts {
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(mut online) = read_list(root, "sys/devices/system/cpu/online").or_else(|| allowed_cpus(root)) else {
        return CpuFacts { cpus: Vec::new(), quota: cgroup::read_quota(root), parallelism };
    };
    let allowed = allowed_cpus(root);
    if let Some(allowed) = &allowed {
        online.extend(allowed); // a container may hide the online list, never what it may use
        online.sort_unstable();
        online.dedup();
    }
    let allowed: Option<BTreeSet<usize>> = allowed.map(BTreeSet::from_iter);
    let performance: Option<BTreeSet<usize>> = read_list(root, "sys/devices/cpu_core/cpus").map(BTreeSet::from_iter);
    let cpu = |index: usize| {
        let directory = format!("sys/devices/system/cpu/cpu{index}");
        let siblings = read_list(root, &format!("{directory}/topology/thread_siblings_list"));
        Cpu {
            index,
            is_allowed: allowed.as_ref().is_none_or(|allowed| allowed.contains(&index)),
            core: siblings.and_then(|siblings| siblings.first().copied()).unwrap_or(index),
            capacity: read_number(root, &format!("{directory}/cpu_capacity")),
            max_frequency_khz: read_number(root, &format!("{directory}/cpufreq/cpuinfo_max_freq")),
            is_performance: performance.as_ref().map(|performance| performance.contains(&index)),
        }
    };
    CpuFacts { cpus: online.into_iter().map(cpu).collect(), quota: cgroup::read_quota(root), parallelism }
}

fn allowed_cpus(root: &Path) -> Option<Vec<usize>> {
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list::parse(line).filter(|cpus| !cpus.is_empty())
}

fn read_list(root: &Path, path: &str) -> Option<Vec<usize>> {
    list::parse(&fs::read_to_string(root.join(path)).ok()?).filter(|cpus| !cpus.is_empty())
}

fn read_number(root: &Path, path: &str) -> Option<u64> {
    fs::read_to_string(root.join(path)).ok()?.trim().parse().ok()
}
