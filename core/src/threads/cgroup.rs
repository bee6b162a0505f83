//! The CPU quota of a process's control group: the smallest of its own and every ancestor's, version 1 and 2.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// How much CPU time a control group may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// CPUs that the quota pays for: quota over period.
    pub cpus: f64,
    /// The file that sets it.
    pub source: String,
}

/// One line of `/proc/self/mountinfo` that mounts a control group file system.
struct Mount {
    /// The group that is mounted: not `/` in containers without a namespace of their own.
    group: PathBuf,
    /// Where it is mounted.
    point: PathBuf,
    is_v2: bool,
}

/// The smallest quota that applies to the process, seen from the file system root `root`.
pub(super) fn read_quota(root: &Path) -> Option<Quota> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mounts: Vec<Mount> = mounts.lines().filter_map(parse_mount).collect();
    let mut smallest: Option<Quota> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let is_v2 = controllers.is_empty();
        if !is_v2 && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        for mount in mounts.iter().filter(|mount| mount.is_v2 == is_v2) {
            for directory in directories(mount, group) {
                let Some(quota) = quota_of(root, &directory, is_v2) else { continue };
                if smallest.as_ref().is_none_or(|smallest| quota.cpus < smallest.cpus) {
                    smallest = Some(quota);
                }
            }
        }
    }
    smallest
}

/// Mount lines read `id parent device group point options optional... - type source super-options`.
fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let mut right = right.split(' ');
    let (kind, _source, options) = (right.next()?, right.next()?, right.next().unwrap_or_default());
    let is_v2 = kind == "cgroup2";
    let is_v1 = kind == "cgroup" && options.split(',').any(|option| option == "cpu");
    if !is_v1 && !is_v2 {
        return None;
    }
    Some(Mount { group: unescape(left.get(3)?).into(), point: unescape(left.get(4)?).into(), is_v2 })
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits in mount lines.
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// The directories of a group and all its ancestors under a mount, the group's own first.
fn directories(mount: &Mount, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group);
    // A group outside what is mounted is hidden by a namespace: the mount point is then the nearest visible ancestor.
    let below = group.strip_prefix(&mount.group).unwrap_or(Path::new(""));
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let below = if is_plain { below } else { Path::new("") };
    below.ancestors().map(|below| mount.point.join(below)).collect()
}

fn quota_of(root: &Path, directory: &Path, is_v2: bool) -> Option<Quota> {
    let read = |name: &str| {
        let path = directory.join(name);
        let visible = root.join(path.strip_prefix("/").unwrap_or(&path));
        Some((fs::read_to_string(visible).ok()?, path))
    };
    let (quota, period, source) = if is_v2 {
        let (text, path) = read("cpu.max")?;
        let mut fields = text.split_whitespace();
        (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?, path) // "max" is no number: no quota
    } else {
        let (quota, path) = read("cpu.cfs_quota_us")?;
        let (period, _) = read("cpu.cfs_period_us")?;
        (quota.trim().parse::<f64>().ok()?, period.trim().parse::<f64>().ok()?, path)
    };
    // Version 1 says -1 for no quota.
    (quota > 0.0 && period > 0.0).then(|| Quota { cpus: quota / period, source: source.display().to_string() })
}
