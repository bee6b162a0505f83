use super::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A made-up `/proc` and `/sys`, removed at the end of the test.
struct Tree(PathBuf);

impl Tree {
    fn new(cpus: usize) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("edgewise-threads-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        tree.write("sys/devices/system/cpu/online", &format!("0-{}\n", cpus - 1));
        tree.allow(&format!("0-{}", cpus - 1))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn with(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    fn allow(self, list: &str) -> Self {
        self.with("proc/self/status", &format!("Name:\tx\nCpus_allowed_list:\t{list}\n"))
    }

    fn cpu(self, index: usize, file: &str, text: &str) -> Self {
        self.with(&format!("sys/devices/system/cpu/cpu{index}/{file}"), text)
    }

    fn v2(self, group: &str) -> Self {
        self.with("proc/self/cgroup", &format!("0::{group}\n"))
            .with("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")
    }

    fn choose(&self) -> ThreadChoice {
        choose(&read_facts(&self.0))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn without_limits_every_core_gets_a_thread() {
    let choice = Tree::new(4).choose();
    assert_eq!((choice.threads, choice.limit, choice.quota), (4, 4, None));
}

#[test]
fn the_smallest_quota_of_all_ancestors_counts() {
    let tree = Tree::new(8)
        .v2("/a/b/c")
        .with("sys/fs/cgroup/a/cpu.max", "200000 100000\n")
        .with("sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
        .with("sys/fs/cgroup/a/b/c/cpu.max", "600000 100000\n");
    let choice = tree.choose();
    assert_eq!((choice.threads, choice.limit, choice.quota), (2, 2, Some(2.0)));
    assert!(choice.reasons.iter().any(|reason| reason.contains("/sys/fs/cgroup/a/cpu.max")), "{:?}", choice.reasons);
}

#[test]
fn a_fractional_quota_never_starts_a_thread_that_it_does_not_pay_for() {
    for (quota, threads) in [(5_000, 1), (100_000, 1), (150_000, 1), (195_000, 2), (250_000, 2), (800_000, 8)] {
        let tree = Tree::new(8).v2("/").with("sys/fs/cgroup/cpu.max", &format!("{quota} 100000\n"));
        assert_eq!(tree.choose().threads, threads, "quota {quota}");
    }
}

#[test]
fn version_1_quota_is_found_through_its_controller() {
    let tree = Tree::new(8)
        .with("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/job/step\n")
        .with(
            "proc/self/mountinfo",
            "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n",
        )
        .with("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
        .with("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
        .with("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n")
        .with("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "50000\n")
        .with("sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_quota_us", "-1\n")
        .with("sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_period_us", "100000\n");
    assert_eq!(tree.choose().threads, 3);
}

#[test]
fn in_a_container_the_mount_shows_only_its_own_group() {
    let tree = Tree::new(8)
        .with("proc/self/cgroup", "4:cpu:/docker/0123\n")
        .with("proc/self/mountinfo", "32 30 0:28 /docker/0123 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n")
        .with("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
        .with("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_eq!(tree.choose().threads, 2);
    let hidden = Tree::new(8).v2("/../../elsewhere").with("sys/fs/cgroup/cpu.max", "300000 100000\n");
    assert_eq!(hidden.choose().threads, 3);
}

#[test]
fn the_affinity_mask_limits_the_threads() {
    let choice = Tree::new(8).allow("2,5-6").choose();
    assert_eq!((choice.threads, choice.limit, choice.allowed), (3, 3, 3));
    assert!(choice.reasons[0].contains("3 of 8 CPUs (2,5-6)"), "{:?}", choice.reasons);
}

#[test]
fn little_cores_stay_out_by_capacity() {
    let tree = (0..8).fold(Tree::new(8), |tree, cpu| {
        tree.cpu(cpu, "cpu_capacity", ["446", "446", "446", "446", "871", "871", "871", "1024"][cpu])
    });
    let choice = tree.choose();
    assert_eq!((choice.threads, choice.fast_cores, choice.limit), (4, 4, 8));
}

#[test]
fn little_cores_stay_out_by_clock_where_capacity_is_unknown() {
    let tree = (0..8).fold(Tree::new(8), |tree, cpu| {
        tree.cpu(cpu, "cpufreq/cpuinfo_max_freq", if cpu < 4 { "1800000" } else { "2400000" })
    });
    assert_eq!(tree.choose().threads, 4);
}

#[test]
fn hybrid_processors_use_performance_cores_without_their_siblings() {
    // Two performance cores with two hardware threads each, then four efficiency cores.
    let tree = (0..8).fold(Tree::new(8).with("sys/devices/cpu_core/cpus", "0-3\n"), |tree, cpu| {
        let siblings = if cpu < 4 { format!("{}-{}", cpu & !1, cpu | 1) } else { cpu.to_string() };
        tree.cpu(cpu, "topology/thread_siblings_list", &siblings)
    });
    let choice = tree.choose();
    assert_eq!((choice.threads, choice.fast_cores, choice.limit), (2, 2, 8));
}

#[test]
fn slow_cores_serve_when_the_mask_allows_no_others() {
    let tree = (0..4).fold(Tree::new(4).allow("0-1"), |tree, cpu| {
        tree.cpu(cpu, "cpu_capacity", if cpu < 2 { "400" } else { "1024" })
    });
    assert_eq!(tree.choose().threads, 2);
}

#[test]
fn an_explicit_number_is_clamped_to_what_can_run() {
    let choice = Tree::new(2).choose();
    assert_eq!([None, Some(0), Some(1), Some(8)].map(|requested| choice.resolve(requested)), [2, 2, 1, 2]);
    let quota = Tree::new(8).v2("/").with("sys/fs/cgroup/cpu.max", "200000 100000\n").choose();
    assert_eq!(quota.resolve(Some(8)), 2);
}

#[test]
fn garbage_in_every_file_still_gives_a_thread() {
    let tree = Tree::new(2)
        .allow("x-y")
        .with("sys/devices/system/cpu/online", "\u{7f}")
        .with("proc/self/cgroup", "::\n0::/..\n4:cpu")
        .with("proc/self/mountinfo", "- - -\n1 2 - cgroup2\n30 23 0:26 / /sys/fs/cgroup rw - cgroup2 x rw")
        .with("sys/fs/cgroup/cpu.max", "nan -inf");
    assert!(tree.choose().threads >= 1);
    assert!(choose(&CpuFacts::default()).threads >= 1);
    assert!(choose(&read_facts(Path::new("/nonexistent"))).threads >= 1);
}

#[test]
fn this_machine_gets_a_choice_with_reasons() {
    let choice = choose(&read_facts(Path::new("/")));
    assert!(choice.threads >= 1 && choice.threads <= choice.limit && !choice.reasons.is_empty(), "{choice:?}");
}
