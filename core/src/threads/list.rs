//! The kernel's CPU lists: `0-3,8,10-11`.

/// More CPUs than any machine has: a list that names a larger one is not a CPU list.
const MAX_CPUS: usize = 1 << 16;

/// The CPUs of a list, or `None` if the text is not one.
pub(super) fn parse(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// The list of ascending CPUs, with runs as ranges.
pub(super) fn format(cpus: impl Iterator<Item = usize>) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => runs.push((cpu, cpu)),
        }
    }
    let text = |&(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive_a_round_trip() {
        for text in ["0", "0-3", "0-3,8,10-11", ""] {
            assert_eq!(format(parse(text).unwrap().into_iter()), text);
        }
    }

    #[test]
    fn text_that_is_no_list_is_refused() {
        for text in ["a", "3-1", "1-", "0-99999999999", "0-70000"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
